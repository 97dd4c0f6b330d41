/*
 * Pages by system calls: nothing waits for a missing page, contents and protection change together,
 * and errors mean what the protocol takes them for. links: runtime/descriptor.c runtime/userfault.c
 * runtime/userfault_take.c
 */
#include <check.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/descriptor.h"
#include "runtime/pager_private.h"

#define REGION_START 0x100000000000ul
#define REGION_PAGES 64ul

static struct userfault userfault;
static uint8_t *const region = (uint8_t *)REGION_START;
static const uint64_t first_page = REGION_START >> PAGE_SHIFT;

void pager_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(125);
}

static void region_set_up(void)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    ck_assert_msg(userfault_open(&userfault, 0, why) == 0, "%s", why);
    ck_assert_ptr_eq(mmap(region, REGION_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
                     region);
    ck_assert_int_eq(userfault_register(&userfault, REGION_START, REGION_PAGES * PAGE_BYTES, true), 0);
}

static void region_tear_down(void)
{
    userfault_close(&userfault);
    munmap(region, REGION_PAGES * PAGE_BYTES);
}

static void page_discard(uint64_t page)
{
    userfault_discard(&userfault, &page, 1);
}

/* Waits for one event, at most a second. */
static struct userfault_event event_wait(void)
{
    struct userfault_event events[USERFAULT_EVENTS_MAX];
    for (int tries = 0; tries < 1000; tries++) {
        int count = userfault_events(&userfault, events);
        if (count > 0) {
            ck_assert_int_eq(count, 1);
            return events[0];
        }
        usleep(1000);
    }
    ck_abort_msg("no event within a second");
}

static void no_event_expect(void)
{
    struct userfault_event events[USERFAULT_EVENTS_MAX];
    usleep(2000);
    ck_assert_int_eq(userfault_events(&userfault, events), 0);
}

static void *byte_write(void *at)
{
    *(volatile uint8_t *)at = 7;
    return NULL;
}

static void *byte_read(void *at)
{
    return (void *)(uintptr_t) * (volatile uint8_t *)at;
}

START_TEST(hole_is_reported_at_once)
{
    uint8_t data[PAGE_BYTES];
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), -ENOENT);
    no_event_expect();
}
END_TEST

START_TEST(populated_page_is_zero_and_protected)
{
    uint8_t data[PAGE_BYTES];
    pthread_t thread;
    memset(data, 1, sizeof data);
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, true), 1);
    ck_assert_int_eq(data[PAGE_BYTES - 1], 0);
    ck_assert_int_eq(region[0], 0);
    pthread_create(&thread, NULL, byte_write, region);
    struct userfault_event event = event_wait();
    ck_assert_uint_eq(event.page, first_page);
    ck_assert(event.write);
    ck_assert_int_eq(userfault_unprotect(&userfault, first_page), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, true), 0);
    ck_assert_int_eq(data[0], 7);
}
END_TEST

START_TEST(install_wakes_a_reader_and_guards_a_writer)
{
    uint8_t data[PAGE_BYTES + 24];
    pthread_t thread;
    void *seen;
    memset(data, 5, sizeof data);
    pthread_create(&thread, NULL, byte_read, region + 100);
    ck_assert(!event_wait().write);
    ck_assert_int_eq(userfault_install(&userfault, first_page, data + 24, false), 0); /* frames are not aligned */
    pthread_join(thread, &seen);
    ck_assert_uint_eq((uintptr_t)seen, 5);
    ck_assert_int_eq(userfault_install(&userfault, first_page, data, true), -EEXIST);
    pthread_create(&thread, NULL, byte_write, region + 100);
    ck_assert(event_wait().write);
    ck_assert_int_eq(userfault_unprotect(&userfault, first_page), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(region[100], 7);
    ck_assert_int_eq(region[101], 5);
}
END_TEST

START_TEST(discard_makes_the_next_access_fault)
{
    pthread_t thread;
    void *seen;
    ck_assert_int_eq(userfault_install(&userfault, first_page + 1, NULL, true), 0);
    region[PAGE_BYTES] = 9;
    ck_assert_int_eq(userfault_protect(&userfault, first_page + 1), 0);
    page_discard(first_page + 1);
    pthread_create(&thread, NULL, byte_read, region + PAGE_BYTES);
    ck_assert_uint_eq(event_wait().page, first_page + 1);
    ck_assert_int_eq(userfault_install(&userfault, first_page + 1, NULL, true), 0);
    pthread_join(thread, &seen);
    ck_assert_uint_eq((uintptr_t)seen, 0);
    region[PAGE_BYTES] = 9; /* writable at once, no event */
    no_event_expect();
}
END_TEST

START_TEST(many_are_discarded_at_once)
{
    uint8_t data[PAGE_BYTES];
    uint64_t pages[REGION_PAGES];
    for (unsigned i = 0; i < REGION_PAGES; i++) {
        pages[i] = first_page + (i * 37) % REGION_PAGES;
        ck_assert_int_eq(userfault_install(&userfault, pages[i], NULL, true), 0);
    }
    ck_assert_int_eq(munmap(region + 5 * PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_int_eq(mlock(region + 9 * PAGE_BYTES, PAGE_BYTES), 0);
    userfault_discard(&userfault, pages, REGION_PAGES - 1);
    for (unsigned i = 0; i < REGION_PAGES - 1; i++)
        ck_assert_int_eq(userfault_read(&userfault, pages[i], data, false), -ENOENT);
    ck_assert_int_eq(userfault_read(&userfault, pages[REGION_PAGES - 1], data, false), 1);
}
END_TEST

START_TEST(take_empties_a_page)
{
    uint8_t data[PAGE_BYTES];
    for (unsigned round = 0; round < 200; round++) { /* more than there are places to move pages to */
        ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
        region[77] = (uint8_t)round;
        ck_assert_int_eq(userfault_take(&userfault, first_page, data, true), (uint8_t)round == 0);
        ck_assert_uint_eq(data[77], (uint8_t)round);
        ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), -ENOENT);
    }
    no_event_expect();
}
END_TEST

/* Where a page cannot be moved it is taken all the same. */
START_TEST(take_of_any_page)
{
    uint8_t data[PAGE_BYTES];
    ck_assert_int_eq(userfault_take(&userfault, first_page, data, true), 1); /* never touched */
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC};
    for (unsigned i = 0; i < sizeof protections / sizeof *protections; i++) {
        ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
        ck_assert_int_eq(mprotect(region, PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
        region[5] = (uint8_t)(i + 1);
        ck_assert_int_eq(mprotect(region, PAGE_BYTES, protections[i]), 0);
        ck_assert_int_eq(userfault_take(&userfault, first_page, data, true), 0);
        ck_assert_uint_eq(data[5], i + 1);
        ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), -ENOENT);
    }
    ck_assert_int_eq(mprotect(region, PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    region[5] = 9;
    int gate[2];
    ck_assert_int_eq(pipe(gate), 0);
    pid_t child = fork(); /* shares the page */
    if (child == 0) {
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 && region[5] == 9 ? 0 : 1);
    }
    close(gate[0]);
    ck_assert_int_eq(userfault_take(&userfault, first_page, data, true), 0);
    ck_assert_uint_eq(data[5], 9);
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), -ENOENT);
    close(gate[1]);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(munmap(region + PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_int_eq(userfault_take(&userfault, first_page + 1, data, true), -ENOENT);
}
END_TEST

static _Atomic bool counting;

static void *counter_run(void *counter)
{
    uint64_t count = 0;
    while (atomic_load_explicit(&counting, memory_order_relaxed)) {
        *(volatile uint64_t *)counter += 1;
        count++;
    }
    return (void *)count;
}

START_TEST(take_loses_no_write)
{
    uint8_t data[PAGE_BYTES];
    pthread_t thread;
    void *count;
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    atomic_store(&counting, true);
    pthread_create(&thread, NULL, counter_run, region);
    for (unsigned round = 0; round < 20000; round++) {
        ck_assert_int_ge(userfault_take(&userfault, first_page, data, true), 0);
        if (round == 19999)
            atomic_store(&counting, false);
        ck_assert_int_eq(userfault_install(&userfault, first_page, data, true), 0);
    }
    pthread_join(thread, &count);
    ck_assert_uint_eq(*(uint64_t *)region, (uintptr_t)count);
}
END_TEST

START_TEST(locked_page_is_discarded_too)
{
    uint8_t data[PAGE_BYTES];
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    ck_assert_int_eq(mlock(region, PAGE_BYTES), 0);
    page_discard(first_page);
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), -ENOENT);
    munlock(region, PAGE_BYTES);
}
END_TEST

START_TEST(protection_of_the_program_does_not_matter)
{
    uint8_t data[PAGE_BYTES];
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    region[17] = 3;
    ck_assert_int_eq(mprotect(region, REGION_PAGES * PAGE_BYTES, PROT_NONE), 0);
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, true), 0);
    ck_assert_int_eq(data[17], 3);
    ck_assert_int_eq(userfault_read(&userfault, first_page + 1, data, true), 1);
    ck_assert_int_eq(userfault_protect(&userfault, first_page), 0);
    page_discard(first_page);
    ck_assert_int_eq(userfault_install(&userfault, first_page, data, false), 0);
    ck_assert_int_eq(userfault_unprotect(&userfault, first_page), 0);
}
END_TEST

START_TEST(unmapped_page_is_enoent)
{
    uint8_t data[PAGE_BYTES];
    ck_assert_int_eq(munmap(region + PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_int_eq(userfault_read(&userfault, first_page + 1, data, true), -ENOENT);
    ck_assert_int_eq(userfault_install(&userfault, first_page + 1, data, true), -ENOENT);
    ck_assert_int_eq(userfault_protect(&userfault, first_page + 1), -ENOENT);
    ck_assert_int_eq(userfault_unprotect(&userfault, first_page + 1), -ENOENT);
    page_discard(first_page + 1); /* nothing there, and no harm */
    userfault_wake(&userfault, first_page, REGION_PAGES);
}
END_TEST

START_TEST(zero_is_told_from_one_byte)
{
    uint8_t data[PAGE_BYTES], got[PAGE_BYTES];
    for (size_t at = 0; at < PAGE_BYTES; at += 13) {
        memset(data, 0, sizeof data);
        data[at] = 1;
        ck_assert_int_eq(userfault_install(&userfault, first_page, data, true), 0);
        ck_assert_int_eq(userfault_read(&userfault, first_page, got, true), 0);
        ck_assert_mem_eq(data, got, sizeof data);
        page_discard(first_page);
    }
}
END_TEST

START_TEST(run_fills_around_what_is_there)
{
    static uint8_t data[8 * PAGE_BYTES], got[8 * PAGE_BYTES];
    memset(data, 4, sizeof data);
    ck_assert_int_eq(userfault_install(&userfault, first_page + 2, NULL, true), 0);
    ck_assert_int_eq(userfault_install(&userfault, first_page + 3, NULL, true), 0);
    ck_assert_int_eq(userfault_install(&userfault, first_page + 7, NULL, true), 0);
    ck_assert_int_eq(userfault_install_run(&userfault, first_page, data, 8), 0);
    ck_assert_uint_eq(userfault_read_run(&userfault, first_page, got, 8), 8);
    for (unsigned page = 0; page < 8; page++)
        ck_assert_int_eq(got[page * PAGE_BYTES], page == 2 || page == 3 || page == 7 ? 0 : 4);
    ck_assert_uint_eq(userfault_read_run(&userfault, first_page + 6, got, 8), 2);
}
END_TEST

/* Protection cuts a mapping in two; a page beyond has gone. All that can be there must be there. */
START_TEST(run_crosses_mappings)
{
    static uint8_t data[9 * PAGE_BYTES];
    pthread_t thread;
    void *seen;
    memset(data, 4, sizeof data);
    ck_assert_int_eq(mprotect(region + PAGE_BYTES, 4 * PAGE_BYTES, PROT_READ), 0);
    ck_assert_int_eq(munmap(region + 7 * PAGE_BYTES, PAGE_BYTES), 0);
    pthread_create(&thread, NULL, byte_read, region);
    ck_assert_uint_eq(event_wait().page, first_page);
    ck_assert_int_eq(userfault_install_run(&userfault, first_page, data, 9), -ENOENT);
    pthread_join(thread, &seen);
    ck_assert_uint_eq((uintptr_t)seen, 4);
    for (unsigned page = 0; page < 9; page++) {
        if (page != 7)
            ck_assert_int_eq(region[page * PAGE_BYTES], 4);
    }
    no_event_expect();
}
END_TEST

/* A huge page, and the huge zero page, are cut at the first operation; their other parts keep their
 * contents. */
START_TEST(huge_pages_are_cut)
{
    uint8_t data[PAGE_BYTES];
    uint8_t *huge = (uint8_t *)(REGION_START + (1ul << 30));
    uint64_t page = (uintptr_t)huge >> PAGE_SHIFT;
    ck_assert_ptr_eq(
        mmap(huge, 4ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), huge);
    madvise(huge, 4ul << 20, MADV_HUGEPAGE);
    ck_assert_int_eq(*(volatile uint8_t *)huge, 0);
    memset(huge + (2ul << 20), 6, 2ul << 20);
    ck_assert_int_eq(userfault_register(&userfault, (uintptr_t)huge, 4ul << 20, true), 0);
    ck_assert_int_eq(userfault_read(&userfault, page, data, true), 1);
    for (uint64_t at = page + 512; at < page + 514; at++) {
        ck_assert_int_eq(userfault_protect(&userfault, at), 0);
        ck_assert_int_eq(userfault_read(&userfault, at, data, true), 0);
        ck_assert_int_eq(data[99], 6);
        page_discard(at);
        ck_assert_int_eq(userfault_read(&userfault, at, data, false), -ENOENT);
    }
    ck_assert_int_eq(huge[(2ul << 20) + 2 * PAGE_BYTES], 6);
    munmap(huge, 4ul << 20);
}
END_TEST

/* Registered buffers of io_uring are held by the kernel for as long as one likes. */
START_TEST(sealed_unless_the_kernel_holds_it)
{
    uint8_t data[PAGE_BYTES];
    struct io_uring_params parameters = {0};
    struct iovec buffer = {region, PAGE_BYTES};
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    region[5] = 9;
    ck_assert_int_eq(userfault_seal(&userfault, first_page), 0);
    ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), 0);
    ck_assert_uint_eq(data[5], 9);
    int fd = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    if (fd >= 0) { /* not where io_uring is switched off */
        ck_assert_int_eq(userfault_unprotect(&userfault, first_page), 0);
        ck_assert_int_eq(syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &buffer, 1), 0);
        ck_assert_int_eq(userfault_seal(&userfault, first_page), -EBUSY);
        region[5] = 10; /* as it was */
        no_event_expect();
        ck_assert_int_eq(syscall(SYS_io_uring_register, fd, IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
        int result = -EBUSY;
        for (unsigned tries = 0; tries < 1000 && result == -EBUSY; tries++, usleep(1000)) /* let go of later */
            result = userfault_seal(&userfault, first_page);
        ck_assert_int_eq(result, 0);
        ck_assert_int_eq(userfault_read(&userfault, first_page, data, false), 0);
        ck_assert_uint_eq(data[5], 10);
        close(fd);
    }
    ck_assert_int_eq(userfault_seal(&userfault, first_page + 1), 0); /* never touched: nobody holds it */
    ck_assert_int_eq(munmap(region + PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_int_eq(userfault_seal(&userfault, first_page + 1), -ENOENT);
}
END_TEST

/* What a fork has left shared is not held, whether the child lives on or not. */
START_TEST(sealed_after_a_fork)
{
    uint8_t data[PAGE_BYTES];
    for (unsigned i = 0; i < 2; i++) {
        int gate[2], status;
        char byte;
        ck_assert_int_eq(userfault_install(&userfault, first_page + i, NULL, true), 0);
        region[i * PAGE_BYTES + 5] = 9;
        ck_assert_int_eq(pipe(gate), 0);
        pid_t child = fork();
        if (child == 0) {
            close(gate[1]);
            _exit(read(gate[0], &byte, 1) == 0 && region[i * PAGE_BYTES + 5] == 9 ? 0 : 1);
        }
        close(gate[0]);
        if (i == 0)
            ck_assert_int_eq(userfault_seal(&userfault, first_page), 0);
        close(gate[1]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(userfault_seal(&userfault, first_page + i), 0);
        ck_assert_int_eq(userfault_read(&userfault, first_page + i, data, false), 0);
        ck_assert_uint_eq(data[5], 9);
    }
}
END_TEST

START_TEST(locked_and_executable_pages_are_moved)
{
    uint8_t data[PAGE_BYTES];
    for (unsigned i = 0; i < 4; i++) {
        uint64_t page = first_page + i;
        uint8_t *at = region + i * PAGE_BYTES;
        ck_assert_int_eq(userfault_install(&userfault, page, NULL, true), 0);
        ck_assert_int_eq(mprotect(at, PAGE_BYTES, PROT_READ | PROT_WRITE | (i & 1 ? PROT_EXEC : 0)), 0);
        if (i & 2)
            ck_assert_int_eq(mlock(at, PAGE_BYTES), 0);
        for (unsigned round = 1; round < 200; round++) {
            at[5] = (uint8_t)round;
            ck_assert_int_eq(userfault_seal(&userfault, page), 0);
            ck_assert_int_eq(userfault_unprotect(&userfault, page), 0);
            ck_assert_int_eq(userfault_take(&userfault, page, data, false), 0);
            ck_assert_uint_eq(data[5], round);
            ck_assert_int_eq(userfault_install(&userfault, page, data, true), 0);
        }
        ck_assert(userfault.places[i].used != 0);
    }
}
END_TEST

START_TEST(protections_are_told)
{
    enum userfault_protection are[4];
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    ck_assert_int_eq(userfault_install(&userfault, first_page + 1, NULL, false), 0);
    ck_assert_uint_eq(userfault_protections(&userfault, first_page, are, 4), 4);
    ck_assert_int_eq(are[0], USERFAULT_WRITABLE);
    ck_assert_int_eq(are[1], USERFAULT_PROTECTED);
    ck_assert_int_eq(are[2], USERFAULT_ABSENT);
    ck_assert_int_eq(userfault_protect_run(&userfault, first_page, 4), 0);
    ck_assert_uint_eq(userfault_protections(&userfault, first_page, are, 4), 4);
    ck_assert_int_eq(are[0], USERFAULT_PROTECTED);
    ck_assert_int_eq(are[2], USERFAULT_ABSENT);
    ck_assert_int_eq(userfault_unprotect_run(&userfault, first_page, 2), 0);
    ck_assert_uint_eq(userfault_protections(&userfault, first_page, are, 4), 4);
    ck_assert_int_eq(are[1], USERFAULT_WRITABLE);
}
END_TEST

START_TEST(sealed_page_faults_at_a_write)
{
    pthread_t thread;
    ck_assert_int_eq(userfault_install(&userfault, first_page, NULL, true), 0);
    ck_assert_int_eq(userfault_seal(&userfault, first_page), 0);
    pthread_create(&thread, NULL, byte_write, region);
    struct userfault_event event = event_wait();
    ck_assert(event.write && !event.missing && event.page == first_page);
    ck_assert_int_eq(userfault_unprotect(&userfault, first_page), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(region[0], 7);
}
END_TEST

START_TEST(descriptors_are_raised)
{
    struct userfault raised;
    char why[WIRE_MESSAGE_BYTES];
    ck_assert_int_eq(userfault_open(&raised, 500, why), 0);
    ck_assert_int_ge(raised.fd, 500);
    ck_assert_int_ge(raised.memory, 500);
    userfault_close(&raised);
    ck_assert_int_eq(descriptor_raise(-1, 500), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("userfault");
    TCase *tests = tcase_create("pages");
    tcase_set_timeout(tests, 20);
    tcase_add_checked_fixture(tests, region_set_up, region_tear_down);
    tcase_add_test(tests, hole_is_reported_at_once);
    tcase_add_test(tests, populated_page_is_zero_and_protected);
    tcase_add_test(tests, install_wakes_a_reader_and_guards_a_writer);
    tcase_add_test(tests, discard_makes_the_next_access_fault);
    tcase_add_test(tests, many_are_discarded_at_once);
    tcase_add_test(tests, take_empties_a_page);
    tcase_add_test(tests, take_of_any_page);
    tcase_add_test(tests, take_loses_no_write);
    tcase_add_test(tests, locked_page_is_discarded_too);
    tcase_add_test(tests, protection_of_the_program_does_not_matter);
    tcase_add_test(tests, unmapped_page_is_enoent);
    tcase_add_test(tests, zero_is_told_from_one_byte);
    tcase_add_test(tests, run_fills_around_what_is_there);
    tcase_add_test(tests, run_crosses_mappings);
    tcase_add_test(tests, huge_pages_are_cut);
    tcase_add_test(tests, sealed_unless_the_kernel_holds_it);
    tcase_add_test(tests, sealed_page_faults_at_a_write);
    tcase_add_test(tests, sealed_after_a_fork);
    tcase_add_test(tests, locked_and_executable_pages_are_moved);
    tcase_add_test(tests, protections_are_told);
    tcase_add_test(tests, descriptors_are_raised);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
