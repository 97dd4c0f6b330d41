"""The runner behind all program tests: one command natively and under ld-span on several nodes, and what differs.

Not for what is run: tests/cluster/programs.list and tests/programs/ say that. Standard library only, because it runs on a
fresh minimal root. Reports one line for each case, `ok NAME`, `FAIL NAME: why` or `skip NAME: reason`, and at last
`N passed, N failed, N skipped`.
"""

import atexit
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, 'build')
WORK = os.path.join(BUILD, 'check', f'work-{os.getpid()}')  # several may run at a time

SKIP_STATUS = 77       # a test program that cannot run here ends with this
LEFT_BEHIND_S = 3      # how long a peer process may outlive its session
REPORT_LINES_MAX = 250

PR_SET_CHILD_SUBREAPER = 36


class Report:
    """Counts and prints results."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def ok(self, name, seconds=None):
        self.passed += 1
        self._print(f'ok {name}' + (f' ({seconds:.1f} s)' if seconds is not None else ''))

    def fail(self, name, why):
        self.failed += 1
        self._print(f'FAIL {name}: {why}')

    def skip(self, name, reason):
        self.skipped += 1
        self._print(f'skip {name}: {reason}')

    def detail(self, text):
        """Indented, so that nobody counts it as a result."""
        lines = text.rstrip('\n').split('\n')
        for line in lines[:REPORT_LINES_MAX]:
            self._print('    ' + line)
        if len(lines) > REPORT_LINES_MAX:
            self._print(f'    ... {len(lines) - REPORT_LINES_MAX} more lines')

    def finish(self):
        self._print(f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped')
        return 1 if self.failed else 0

    @staticmethod
    def _print(line):
        print(line, flush=True)


class Result:
    """What one run left: exit status (-N: killed by signal N), outputs as bytes, and whether it had to be ended."""

    def __init__(self, status, stdout, stderr, seconds, timed_out, left_behind, diagnosis):
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds
        self.timed_out = timed_out
        self.left_behind = left_behind
        self.diagnosis = diagnosis


def processes_adopt():
    """From now on every process that we start stays below us, even when its parent ends before it: so we know them all."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants():
    """The pids of all our living descendants, parents first."""
    children = {}
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            with open(f'/proc/{entry}/stat', 'rb') as stat:
                # The name in parentheses may hold anything: fields start after the last one.
                fields = stat.read().rsplit(b')', 1)[1].split()
        except (OSError, IndexError):
            continue
        if fields[0] not in (b'Z', b'X'):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [os.getpid()]
    while todo:
        for pid in children.get(todo.pop(), []):
            found.append(pid)
            todo.append(pid)
    return found


def descendants_end():
    """Ends what this harness started, by pid, and collects it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pids = descendants()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if not pids:
            return
        time.sleep(0.05)


def end_when_told(*_):
    descendants_end()
    directory_remove(WORK)
    os._exit(128 + signal.SIGTERM)


def read_line(path):
    try:
        with open(path, 'rb') as file:
            return file.read(400).decode('utf-8', 'replace').strip().replace('\0', ' ')
    except OSError as error:
        return f'({error.strerror})'


def command_output(argv, timeout_s):
    """Output of a diagnostic command; whatever goes wrong with it is part of the text."""
    try:
        run = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=timeout_s, check=False)
        return run.stdout.decode('utf-8', 'replace')
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'{error}\n'


def diagnose(pids):
    """What can be seen of processes that hang, before they are ended."""
    text = []
    spanctl = os.path.join(BUILD, 'spanctl')
    for pid in pids if os.access(spanctl, os.X_OK) else []:
        stacks = command_output([spanctl, 'stack', str(pid)], 20)
        if 'has no session' not in stacks:
            text += [f'$ spanctl stack {pid}', stacks]
    for pid in pids:
        text.append(f'process {pid}: {read_line(f"/proc/{pid}/cmdline")}')
        try:
            tasks = sorted(os.listdir(f'/proc/{pid}/task'), key=int)
        except OSError:
            continue
        for task in tasks[:32]:
            base = f'/proc/{pid}/task/{task}'
            state = read_line(f'{base}/stat').rsplit(')', 1)[-1].split()[:1]
            text.append(f'  {task} {read_line(base + "/comm")} {"".join(state)} {read_line(base + "/wchan")}'
                        f' | {read_line(base + "/syscall")}')
    if shutil.which('gdb'):
        for pid in pids[:4]:
            text.append(f'$ gdb -batch -p {pid}')
            text.append(command_output(['gdb', '-nx', '-batch', '-p', str(pid), '-ex', 'set pagination off',
                                        '-ex', 'thread apply all backtrace 12'], 20))
    return '\n'.join(text)


def process_wait(process, timeout_s):
    """False when time is up. Popen.wait with a timeout would look every now and then, and spoil measurements."""
    pidfd = os.pidfd_open(process.pid)
    try:
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    finally:
        os.close(pidfd)


def run(argv, cwd, timeout_s, environment=None, stdin='/dev/null', check_left=False):
    """Runs one command in a session of its own, its output in files, so that nobody who keeps them open makes us wait."""
    out_path, err_path = cwd + '.stdout', cwd + '.stderr'
    started = time.monotonic()
    timed_out, diagnosis, left = False, '', []
    with open(stdin, 'rb') as in_file, open(out_path, 'wb') as out_file, open(err_path, 'wb') as err_file:
        try:
            process = subprocess.Popen(argv, cwd=cwd, env=environment, stdin=in_file, stdout=out_file, stderr=err_file,
                                       start_new_session=True)
        except OSError as error:
            return Result(127, b'', str(error).encode(), 0.0, False, [], '')
        if process_wait(process, timeout_s):
            status = process.wait()
        else:
            timed_out = True
            diagnosis = diagnose(descendants())
            descendants_end()
            process.returncode = status = -signal.SIGKILL
    seconds = time.monotonic() - started
    if not timed_out:
        deadline = time.monotonic() + LEFT_BEHIND_S
        left = descendants()
        while left and check_left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = descendants()
        left = [f'{pid} ({read_line(f"/proc/{pid}/comm")})' for pid in left]
        descendants_end()
    with open(out_path, 'rb') as out_file, open(err_path, 'rb') as err_file:
        return Result(status, out_file.read(), err_file.read(), seconds, timed_out, left, diagnosis)


def status_text(status):
    return f'status {status}' if status >= 0 else f'killed by {signal.Signals(-status).name}'


def first_difference(expected, found):
    """One line that tells where two outputs part."""
    expected_lines, found_lines = expected.split(b'\n'), found.split(b'\n')
    for number, (one, other) in enumerate(zip(expected_lines, found_lines), 1):
        if one != other:
            return f'line {number} is {other[:80]!r} and natively {one[:80]!r}'
    return f'{len(found)} bytes and natively {len(expected)}'


def last_words(result):
    """The end of standard error, for the reader of a failure."""
    return result.stderr[-1500:].decode('utf-8', 'replace')


def directory_remove(path):
    """With all that is in it, also what a program has made immutable or append-only."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        command_output(['chattr', '-R', '-f', '-i', '-a', path], 20)
        shutil.rmtree(path, ignore_errors=True)


def fresh_directory(path):
    directory_remove(path)
    os.makedirs(path)
    return path


def start():
    """To be called once by each program that uses this module."""
    processes_adopt()
    # A program that signals its parent may find us in its place, once we have adopted it: init would not die of that.
    # These signals are not ignored, for that would be inherited.
    for number in (signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGTERM, end_when_told)
    signal.signal(signal.SIGINT, end_when_told)
    os.makedirs(WORK, exist_ok=True)
    atexit.register(directory_remove, WORK)
    sys.stdout.reconfigure(line_buffering=True)
