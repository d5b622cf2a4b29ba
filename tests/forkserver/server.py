"""The fork server: an interpreter that has loaded what its children need, and forks for each of them.

It is a script that uses only the standard library, started by `client.py`. A child is like a process of
`python -c` or `python -m`: the same arguments, directory, environment, streams, umask and end.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace


def load(path, without, modules, hidden, prepare):
    """Load the existing ones of *modules*, without some; *hidden* ones their runner loads again.

    Then call the functions that *prepare* the children, each as `module:name`.
    """
    sys.path[:] = path or sys.path
    sys.modules.update(dict.fromkeys(without))
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    for name in hidden:
        del sys.modules[name]
        package, _, last = name.rpartition(".")
        delattr(sys.modules[package], last)
    for name in prepare:
        module, _, function = name.partition(":")
        getattr(importlib.import_module(module), function)()


def serve(requests):
    """Fork for each request, and report how the child ends; return the request in the child, or None."""
    status: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            tell_ends(status)
        if requests in ready:
            asked, given, _, _ = socket.recv_fds(requests, 2**20, 4)
            if not asked:
                return None
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                requests.close()
                for number in (woken, wake, given.pop(), *status.values()):
                    os.close(number)
                return json.loads(asked), given
            for number in given[:3]:
                os.close(number)
            status[child] = given[3]
            os.write(given[3], b"%d\n" % child)


def tell_ends(status):
    """Write the exit codes of the children that have ended."""
    while status:
        child, how = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        number = status.pop(child)
        with suppress(BrokenPipeError):  # no client waits for it any more
            os.write(number, b"%d\n" % os.waitstatus_to_exitcode(how))
        os.close(number)


def enter(cwd, env, umask, given):
    """Set the directory, the environment, the umask and the streams of the child."""
    for number, opened in enumerate(given):
        os.dup2(opened, number)
    for opened in given:
        os.close(opened)
    os.chdir(cwd)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(words):
    """Do what `python` with *words* does, and return the exit code."""
    try:
        begin(words)
    except SystemExit as exc:
        return said(exc.code)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        return None
    except BaseException:  # noqa: BLE001 - reported, and the process ends with it
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def begin(words):
    """Run the module, the text of a program, or the script."""
    if words[0] == "-m":
        sys.argv[:] = ["-m", *words[2:]]
        sys.path[0] = os.getcwd()
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        exec(words[1], {"__name__": "__main__"})
    else:
        sys.argv[:] = words
        sys.path[0] = os.path.dirname(words[0])
        runpy.run_path(words[0], run_name="__main__")


def said(code):
    """Return the exit code for the value of SystemExit, as Python does."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def end(code):
    """End the process as an interpreter does, but without releasing its memory, which takes the most time."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError) as exc:
            code = 120
            if stream is sys.stdout:
                unraisable = SimpleNamespace(
                    exc_type=type(exc), exc_value=exc, exc_traceback=None, err_msg=None, object=stream
                )
                sys.unraisablehook(unraisable)
    if code is None:  # it was interrupted
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def main():
    """Load, answer requests, and run the requested program in each child."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    load(**json.loads(sys.argv[2]))
    gc.collect()
    gc.freeze()
    found = serve(requests)
    if found is not None:
        request, given = found
        enter(request["cwd"], request["env"], request["umask"], given)
        end(run(request["words"]))


if __name__ == "__main__":
    main()
