"""The builder of engines as a managed node.

It keeps engines built for the models that its parameters name, and tells detectors of them:

* ``~/progress``, ``diagnostic_msgs/DiagnosticStatus``, latched: what is being built, how far it is,
  and what came of the rest; the same in ``/diagnostics``.
* ``/jetson_detect/engines`` (parameter ``engines_topic``), ``diagnostic_msgs/DiagnosticArray``,
  latched: the engines that there are, see :mod:`jetson_detect.conversion.engine_announcement`.
* ``~/build``, ``~/cancel``, ``~/verify``, ``std_srvs/Trigger``.
"""

from __future__ import annotations

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import State, TransitionCallbackReturn

from jetson_detect.builder.engine_builder import EngineBuilder
from jetson_detect.builder.engine_queue import EngineQueue, EngineRequest, QueueStatus
from jetson_detect.builder.engine_targets import fingerprint
from jetson_detect.core.engines.cache import CacheError, EngineCache
from jetson_detect.core.throttle import Throttle
from jetson_detect.nodes.builder_config import BuilderConfig, check_models
from jetson_detect.nodes.engine_announcer import EngineAnnouncer
from jetson_detect.nodes.engine_reporter import EngineReporter
from jetson_detect.nodes.engine_services import Answer, EngineServices
from jetson_detect.nodes.managed_node import ManagedNode, reports_failure
from jetson_detect.nodes.parameters import ParameterSet

_WARNING_PERIOD_S = 60.0


class BuilderNode(ManagedNode):
    """Builds engines, proves them and announces them.

    =============== ====================================================================
    unconfigured    parameters are declared, services say that there is nothing
    inactive        what is in the cache is announced; it can be verified
    active          engines are built
    =============== ====================================================================

    The executor's callbacks only ask for builds; one thread builds, in processes that end with it.
    """

    def __init__(self, node_name: str = "engine_builder", **arguments: object) -> None:
        """Declare the parameters.

        Parameters
        ----------
        node_name, arguments:
            As for :class:`rclpy.node.Node`.

        Raises
        ------
        ParameterError
            If a parameter was given a value it cannot have.

        """
        super().__init__(node_name, **arguments)
        self._cache: EngineCache | None = None
        self._queue: EngineQueue | None = None
        self._reporter: EngineReporter | None = None
        self._announcer: EngineAnnouncer | None = None
        self._watch_timer: object | None = None
        self._is_active = False
        self._warnings = Throttle(_WARNING_PERIOD_S)
        self._parameter_set = ParameterSet(
            self, BuilderConfig, on_change=self._on_change, check=check_models
        )
        EngineServices(self, self._build, self._cancel, self._verify)

    @property
    def config(self) -> BuilderConfig:
        """The parameters in force."""
        return self._parameter_set.value

    # -- life cycle ---------------------------------------------------------------------------

    @reports_failure
    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Open the cache and announce what is in it."""
        config = self.config
        self._cache = cache = config.cache()
        self._announcer = EngineAnnouncer(self, cache, config.engines_topic)
        self._reporter = EngineReporter(
            self, self._status, config.diagnostics_period_s, self._announcer.announce
        )
        self._queue = EngineQueue(
            lambda limits, on_progress: EngineBuilder(cache, limits, on_progress), self._reporter
        )
        entries = self._announcer.announce()
        self.get_logger().info(f"{len(entries)} engines are in {cache.folder}")
        self._reporter.changed()
        return TransitionCallbackReturn.SUCCESS

    @reports_failure
    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Begin to build."""
        result: TransitionCallbackReturn = super().on_activate(state)
        self._is_active = True
        if self._queue is not None:
            self._queue.forget_cancelled()
        self._keep_built()
        if self.config.watch_period_s > 0.0:
            # Steady time: also with use_sim_time and no clock.
            self._watch_timer = self.create_timer(
                self.config.watch_period_s,
                self._watch,
                clock=Clock(clock_type=ClockType.STEADY_TIME),
            )
        return result

    def _stop(self) -> None:
        self._is_active = False
        if self._watch_timer is not None:
            self.destroy_timer(self._watch_timer)
            self._watch_timer = None
        if self._queue is not None:
            try:
                self._queue.cancel()
            except TimeoutError as error:
                self.get_logger().error(str(error))

    def _release(self) -> None:
        # The queue first: it tells the others what becomes of its last build.
        if self._queue is not None:
            self._queue.close()
        if self._reporter is not None:
            self._reporter.destroy()
        if self._announcer is not None:
            self._announcer.destroy()
        self._queue = self._reporter = self._announcer = self._cache = None

    # -- what is to be built ------------------------------------------------------------------

    def _status(self) -> QueueStatus:
        return self._queue.status if self._queue is not None else QueueStatus()

    def _requests(self) -> list[EngineRequest]:
        """Describe the engines that are to be there now."""
        config = self.config
        requests = []
        for target in config.targets():
            try:
                job = config.job(target)
            except ValueError as error:  # it was there when the parameter was set
                if self._warnings.permits(target):
                    self.get_logger().warning(f"{target}: {error}")
                continue
            requests.append(
                EngineRequest(target, job, config.stage_limits(), fingerprint(job.model))
            )
        return requests

    def _keep_built(self) -> None:
        if self._is_active and self._queue is not None and self.config.build_on_activate:
            self._queue.keep(self._requests())

    def _on_change(self, old: BuilderConfig, new: BuilderConfig) -> None:
        self._keep_built()

    def _watch(self) -> None:
        """Take note of models that have changed, and of engines that others have built."""
        if self._announcer is not None:
            self._announcer.announce()
        self._keep_built()

    # -- services -----------------------------------------------------------------------------

    def _build(self) -> Answer:
        if not self._is_active or self._queue is None:
            return False, "the builder is not active: configure and activate it first"
        queued = self._queue.ask(self._requests())
        if not queued:
            return True, "all of it is in line already"
        return True, f"in line: {', '.join(map(str, queued))}; what is in the cache stays as it is"

    def _cancel(self) -> Answer:
        queue = self._queue
        try:
            cancelled = queue.cancel() if queue is not None else ()
        except TimeoutError as error:
            return False, str(error)
        if not cancelled:
            return True, "nothing was being built"
        return True, f"cancelled: {', '.join(map(str, cancelled))}"

    def _verify(self) -> Answer:
        cache = self._cache
        if cache is None:
            return False, "the builder is not configured: configure it first"
        try:
            problems = cache.verify()
            count = len(cache.entries())
        except CacheError as error:
            return False, str(error)
        if problems:
            return False, "; ".join(problems)
        return True, f"{count} engines are whole" if count != 1 else "1 engine is whole"
