# The session's vDSO: a shared object of its own, built first and embedded by monitor/vdso_image.S.
$(B)/vdso.so: monitor/vdso/vdso.S monitor/vdso/vdso.lds monitor/thread_offsets.h
	@mkdir -p $(@D)
	$(CC) -I. -shared -nostdlib -fPIC -Wl,-T,monitor/vdso/vdso.lds -Wl,-soname,linux-vdso.so.1 \
	    -Wl,--hash-style=both -Wl,--eh-frame-hdr -Wl,--build-id=sha1 -Wl,-z,noexecstack \
	    -Wl,-z,max-page-size=4096 -Wl,--no-undefined -o $@ $<

$(B)/monitor/vdso_image.S.o: CPPFLAGS += -DVDSO_FILE='"$(B)/vdso.so"'
$(B)/monitor/vdso_image.S.o: $(B)/vdso.so
