"""A contestant that runs, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from jetson_detect.benchmark.cameras import Cameras, SilentNodeError
from jetson_detect.benchmark.contestant import Contestant
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.nodes.task import USUAL_WORK, NodeTask, NodeWork
from jetson_detect.benchmark.process_cpu import ProcessCpu
from jetson_detect.benchmark.session import Session
from jetson_detect.benchmark.stage_clock import REST, StageClock
from jetson_detect.benchmark.stream_round import StreamRound
from jetson_detect.commands.child_processes import Child
from jetson_detect.core.closing import Closing
from jetson_detect.core.process_memory import resident_mb
from jetson_detect.nodes.entry import ros_executor

_START_S = 60.0


class RunningNode(Closing):
    """A contestant's process with cameras in front of it."""

    def __init__(
        self,
        contestant: Contestant,
        session: Session,
        size: tuple[int, int],
        work: NodeWork = USUAL_WORK,
        head_start_s: float = 0.0,
    ) -> None:
        """Start it; :meth:`wait_until_ready` waits until it answers.

        Parameters
        ----------
        contestant:
            Who.
        session:
            Where it runs.
        size:
            Width and height of the pictures.
        work:
            What it does with them.
        head_start_s:
            How long the cameras are there before it.

        """
        self.contestant = contestant
        self._work = work
        name = f"{contestant.value}_{len(list(session.folder.iterdir()))}"
        task = NodeTask(name, session.folder / f"{name}.stages", work)
        self._clock = StageClock(task.stages)
        with ExitStack() as stack:
            # A context of its own, as of another process: each has its own shared memory, which
            # the images of other sizes would fragment.
            executor = stack.enter_context(ros_executor([]))
            self._cameras = Cameras(executor, name, size, task.image_topics, task.answer_topics)
            stack.callback(self._cameras.close)
            time.sleep(head_start_s)
            self.started = time.perf_counter()
            """On the clock of :func:`time.perf_counter`."""
            self._child = Child(
                name,
                contestant.module,
                [task.to_argument()],
                session.folder / f"{name}.log",
                session.environment,
            )
            stack.callback(self._child.stop)
            self._cpu = ProcessCpu(self._child.pid)
            self._resources = stack.pop_all()

    def wait_until_ready(self, warm_up: int) -> None:
        """Wait until it answers, and give it some more frames.

        Raises
        ------
        ChildError
            If it has ended, or does not answer.

        """
        self.wait_until_answered()
        self._cameras.run(Drive(frames=warm_up))

    def wait_until_answered(self, period_s: float = 0.2) -> None:
        """Wait until it answers, with a frame every ``period_s`` seconds.

        Raises
        ------
        ChildError
            If it has ended, or does not answer.

        """
        try:
            self._cameras.wait_until_answered(_START_S, period_s, self._check)
        except SilentNodeError as error:
            raise self._child.failure(f"is silent ({error})") from error

    def measure(self, drive: Drive) -> StreamRound:
        """Give it frames and measure.

        Raises
        ------
        ChildError
            If it has ended meanwhile.

        """
        stages_before, cpu_before = self._clock.seconds(), self._cpu.seconds()
        sent = self._cameras.run(drive)
        self._check()
        cpu_s = self._cpu.seconds() - cpu_before
        stages: dict[str, float] = {}
        if not drive.rate and drive.in_flight == 1 and self._work.cameras == 1:
            stages = self._clock.since(stages_before)
            stages = {REST: cpu_s - sum(stages.values()), **stages}
        return StreamRound(
            sent.sent, len(sent.latencies_ms), sent.seconds, cpu_s, sent.latencies_ms, stages
        )

    def round_of(self, drive: Drive) -> Callable[[], StreamRound]:
        """Return what measures one round."""
        return partial(self.measure, drive)

    @property
    def answer(self) -> bytes:
        """Its newest answer, serialised."""
        return self._cameras.last_answer

    @property
    def rss_mb(self) -> float:
        """Its resident memory in MB."""
        return resident_mb(self._child.pid)

    def close(self) -> None:
        """End it; may be called twice."""
        self._resources.close()

    def _check(self) -> None:
        if self._child.status is not None:
            raise self._child.failure(f"has ended with status {self._child.status}")
