"""Four threads that hash parts of one buffer, which hashlib does without the interpreter's lock."""
import hashlib
import threading

PART = 1 << 18
ROUNDS = 16
data = bytearray(4 * PART)
digests = [None] * 4


def work(part):
    total = hashlib.sha256()
    for _ in range(ROUNDS):
        total.update(memoryview(data)[part * PART:(part + 1) * PART])
        digests[part] = total.hexdigest()


threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(digests[0])
