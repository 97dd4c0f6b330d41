"""Threads that hash with hashlib (which lets go of the interpreter lock), a queue, a pool and a subprocess."""
import hashlib
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

with open(sys.argv[1], 'rb') as file:
    data = file.read()
blocks = [data[i:i + 65536] for i in range(0, len(data), 65536)]

with ThreadPoolExecutor(max_workers=4) as pool:
    for algorithm in ('sha256', 'sha512', 'blake2b', 'md5'):
        sums = pool.map(lambda block, a=algorithm: hashlib.new(a, block).hexdigest(), blocks)
        print(algorithm, hashlib.sha256(''.join(sums).encode()).hexdigest())

todo, done, lock = queue.Queue(maxsize=8), {}, threading.Lock()


def work():
    while True:
        number = todo.get()
        if number is None:
            return
        with lock:
            done[number] = sum(blocks[number][::7])


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(len(blocks)):
    todo.put(number)
for _ in threads:
    todo.put(None)
for thread in threads:
    thread.join()
print('queue', len(done), sum(done.values()))
print('child', subprocess.run(['wc', '-c'], input=data, capture_output=True, check=True).stdout.decode().strip())
