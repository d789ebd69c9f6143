"""The ways to replay a bag: through a detector of this process, or through nodes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator
from itertools import islice

from jetson_detect.bags.frames import Frame, frames
from jetson_detect.bags.ledger import SentFrame
from jetson_detect.bags.loops import looped
from jetson_detect.bags.offline_detector import OfflineDetector
from jetson_detect.bags.offline_player import OfflinePlayer
from jetson_detect.bags.played_topics import Ending, Stamping
from jetson_detect.bags.replay_plan import ReplayPlan
from jetson_detect.commands.replay.conclusion import ReplayConclusion
from jetson_detect.commands.replay.display import show_progress
from jetson_detect.commands.replay.records import ReplayRecords
from jetson_detect.commands.stop_signals import StopSignals


def replay_offline(
    options: argparse.Namespace,
    plan: ReplayPlan,
    records: ReplayRecords,
    conclusion: ReplayConclusion,
    detector: OfflineDetector,
    stop: StopSignals,
) -> None:
    """Run the bag through a detector, and conclude."""
    player = OfflinePlayer(
        detector.detector,
        detector.selection,
        plan.cameras,
        conclusion.ledger,
        on_answer=records.take,
        on_lost=_teller_of_losses(records),
        should_stop=lambda: stop.requested,
        names=records.names,
    )
    ending = player.play(_frames(options, plan, records))
    conclusion.conclude(ending, player.problem)


def replay_through_nodes(
    options: argparse.Namespace,
    ros_arguments: list[str],
    plan: ReplayPlan,
    records: ReplayRecords,
    conclusion: ReplayConclusion,
    stop: StopSignals,
) -> None:
    """Publish the bag, conclude, and stay as long as is wanted.

    Raises
    ------
    BagError
        If a type is not installed, or has no header.

    """
    from jetson_detect.nodes.bag_player import BagPlayer, PlayerConfig
    from jetson_detect.nodes.entry import ros_executor

    config = PlayerConfig(
        cameras=plan.cameras,
        companions=plan.companions,
        rate=None if options.lock_step else options.rate,
        timeout_s=options.timeout,
        startup_timeout_s=options.startup_timeout,
        stamping=Stamping(options.stamp),
        clock_hz=options.clock,
    )
    with ros_executor(ros_arguments) as executor:
        player = BagPlayer(
            config,
            conclusion.ledger,
            on_answer=records.take,
            on_lost=_teller_of_losses(records),
            should_stop=lambda: stop.requested,
            names=records.names,
            context=executor.context,
            start_parameter_services=False,
        )
        executor.add_node(player)
        try:
            ending = player.play(_frames(options, plan, records, player.stamped_companions))
            conclusion.conclude(ending, player.problem)
            if ending is Ending.FINISHED:
                player.linger(options.linger)
        finally:
            player.destroy_node()


def _frames(
    options: argparse.Namespace,
    plan: ReplayPlan,
    records: ReplayRecords,
    stamped_companions: Collection[str] = (),
) -> Iterator[Frame]:
    """Read the frames that are wanted, as often as they are."""
    images = [camera.recorded for camera in plan.cameras]
    stamped = {*stamped_companions, *plan.truths.values()}
    passes = looped(lambda: frames(records.messages(), images, stamped), options.loop)
    wanted = islice(records.noted(passes), options.limit)
    return wanted if options.quiet else show_progress(wanted)


def _teller_of_losses(records: ReplayRecords) -> Callable[[SentFrame, str], None]:
    def tell(frame: SentFrame, reason: str) -> None:
        print(f"replay: no answer to {frame}: {reason}", file=sys.stderr)
        records.lose(frame)

    return tell
