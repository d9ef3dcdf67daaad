"""What a line needs of a controller beside its signals: heartbeats, intervals, a window T. Pure."""

from dataclasses import dataclass
from itertools import pairwise

from connectors.settings import GatewaySettings


@dataclass(frozen=True)
class Observed:
    """What was seen of a controller within a time."""

    beats_s: tuple[float, ...]
    """When PlcHeartbeat moved, seconds since the watch began."""
    watched_s: float
    gateway_beats: bool
    """Whether a gateway counted VisionHeartbeat meanwhile."""
    publishing_ms: float
    sampling_ms: float
    round_trip_ms: float
    """Of a Read."""
    has_heartbeat: bool
    takt_ms: int
    has_stamps: bool
    """Whether the trigger and the heartbeat have source time stamps."""
    beat_fault: str = ""
    """What is wrong with the value that PlcHeartbeat shows."""
    write_ms: float | None = None
    """Of a Write; None where none was tried."""


@dataclass(frozen=True)
class Condition:
    """One thing that a line needs, as it was found."""

    name: str
    found: str
    is_met: bool = True
    stops: bool = False
    """Whether no line could run like this."""
    remedy: str = ""


def conditions(settings: GatewaySettings, seen: Observed) -> list[Condition]:
    """What was found of the heartbeats, the intervals, the calls and the result window."""
    return [
        _heartbeat(settings, seen),
        _gateway(seen),
        _intervals(settings, seen),
        _calls(settings, seen),
        _window(settings, seen),
    ]


def _heartbeat(settings: GatewaySettings, seen: Observed) -> Condition:
    name, dead_s = "PlcHeartbeat", settings.dead_after_s
    if not seen.has_heartbeat:
        return Condition(name, "there is none: only that the server answers is watched")
    if not seen.beats_s and seen.beat_fault:
        return Condition(
            name,
            f"{seen.beat_fault}, so it counts as standing still",
            is_met=False,
            stops=True,
            remedy="let the controller give it a good value",
        )
    if not seen.beats_s:
        return Condition(
            name,
            f"stood still for {seen.watched_s:.1f} s",
            is_met=False,
            stops=True,
            remedy="start the controller's program, and count it up in every "
            f"{settings.heartbeat_ms} ms",
        )
    longest = max(b - a for a, b in pairwise((0.0, *seen.beats_s, seen.watched_s)))
    found = f"moved {len(seen.beats_s)} times, at most {longest:.1f} s apart"
    if longest >= dead_s:
        return Condition(
            name,
            found,
            is_met=False,
            stops=True,
            remedy=f"count it up in every {settings.heartbeat_ms} ms: it counts as dead after "
            f"{dead_s:g} s (gateway.heartbeat_ms, gateway.heartbeat_missed)",
        )
    return Condition(name, found)


def _gateway(seen: Observed) -> Condition:
    if seen.gateway_beats:
        return Condition(
            "VisionHeartbeat",
            "a gateway is in charge, so nothing was written",
            is_met=False,
            remedy="stop the gateway, and check again to prove what it writes",
        )
    return Condition("VisionHeartbeat", "no gateway is in charge")


def _intervals(settings: GatewaySettings, seen: Observed) -> Condition:
    asked = settings.publishing_interval_ms
    found = f"publishing {seen.publishing_ms:g} ms, sampling {seen.sampling_ms:g} ms"
    slower = max(seen.publishing_ms, seen.sampling_ms) > 2 * asked
    late_ms = seen.publishing_ms + seen.sampling_ms
    more = f"; a trigger is seen up to {late_ms:g} ms late"
    remedy = f"let the server grant {asked:g} ms, or allow for it in the takt" if slower else ""
    return Condition("intervals", found + more, is_met=not slower, remedy=remedy)


def _calls(settings: GatewaySettings, seen: Observed) -> Condition:
    """Whether calls are fast enough for their deadline and for the gateway's own heartbeat.

    A Write waits for the look at who is in charge, and both for those of others before them. A
    gateway that was busy with it for the dead time gives way, as it cannot know who has served.
    """
    read_ms = seen.round_trip_ms
    write_ms = read_ms if seen.write_ms is None else seen.write_ms
    found = f"a Read takes {read_ms:.0f} ms, a Write {write_ms:.0f} ms"
    remedies = []
    busy_ms = 3 * (read_ms + write_ms)
    if busy_ms >= 1000 * settings.dead_after_s:
        beat_ms = busy_ms / settings.heartbeat_missed
        remedies.append(f"set gateway.heartbeat_ms to over {beat_ms:.0f}, here and in the program")
    longest_s = 3 * max(read_ms, write_ms) / 1000
    if longest_s >= settings.plc_timeout_s:
        remedies.append(f"set gateway.plc_timeout_s to over {longest_s:.1f}")
    return Condition("calls", found, is_met=not remedies, remedy="; ".join(remedies))


def _window(settings: GatewaySettings, seen: Observed) -> Condition:
    """Whether anything can be decided in T, after the trigger was told and before the margin."""
    name, own = "T", settings.result_window_ms
    window_ms, source = (own, "gateway.result_window_ms") if own else (seen.takt_ms, "TaktMs")
    problem = settings.window_fault(seen.takt_ms)
    if problem:
        return Condition(
            name,
            problem,
            is_met=False,
            stops=True,
            remedy="write the time between parts in milliseconds, or set gateway.result_window_ms",
        )
    told_ms = seen.publishing_ms + seen.sampling_ms
    since = "by its time stamps" if seen.has_stamps else "less the intervals: no time stamps"
    write_ms, like = (
        (seen.round_trip_ms, " that take as long as Reads")
        if seen.write_ms is None
        else (seen.write_ms, "")
    )
    writes_ms = 2 * write_ms
    left_ms = window_ms - settings.watchdog_margin_ms - told_ms - writes_ms
    found = (
        f"{window_ms} ms by {source} from the trigger, {since}; "
        f"{left_ms:.0f} ms of it are left for picture and decision "
        f"({told_ms:g} until the trigger is told, {writes_ms:.0f} for two Writes{like}, "
        f"{settings.watchdog_margin_ms} before T the gateway decides itself)"
    )
    if writes_ms > settings.watchdog_margin_ms and left_ms > 0:
        # what is decided at the margin would be written too late
        remedy = f"set gateway.watchdog_margin_ms to over {writes_ms:.0f}"
        return Condition(name, found, is_met=False, remedy=remedy)
    if left_ms <= 0:
        remedy = "give parts more time, or the server shorter intervals and faster Writes"
        return Condition(name, found, is_met=False, stops=True, remedy=remedy)
    return Condition(name, found)
