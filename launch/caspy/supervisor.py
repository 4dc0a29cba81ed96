"""The supervisor: from a plan to processes, and from their ends to one exit code."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from camagick.actor.failures import FAILED, OUTSIDE, RESTART
from camagick.actor.host import NOT_STARTED, SOCKETS_FAILED
from caspy import helpers
from caspy.crew import ALONE, FIRST, Crew
from caspy.drain import Drain
from caspy.errors import PlanError
from caspy.hosts.outposts import Outposts
from caspy.placement import HOME
from caspy.policy import SPAN_S, Deaths, Policy
from caspy.process import Child, fork
from caspy.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from camagick_broker.running import Card
    from caspy.crew import Beginning, Post
    from caspy.hosts.channel import Channel
    from caspy.hosts.outpost import Outpost
    from caspy.plan import Plan
    from caspy.watchers import Watcher

log = logging.getLogger(__name__)

#: Seconds between asking for an end and enforcing it.
_KILL_S = 5.0
#: Kinds of processes that tell other hosts of all the rest; they end last.
_SPEAKERS = ("link", "gate")


class Supervisor:
    """Runs one plan.

    Parameters
    ----------
    plan
        What to run.
    folder
        The folder of the bus.
    policy
        What to do when actors die.
    post
        This host, among several.
    outposts
        The other ones.
    begin
        Where its actors begin.

    Attributes
    ----------
    plan, ledger
        What is run, and how far its actors have come.
    exit_code
        What the run ends with.
    """

    def __init__(
        self, plan: Plan, folder: Path, policy: Policy | None = None, post: Post = ALONE,
        outposts: Outposts | None = None, begin: Beginning = FIRST,
    ) -> None:  # fmt: skip
        self.plan = plan
        self._folder = str(folder)
        self._policy = policy or Policy()
        self._children: dict[int, Child] = {}
        self._poll = select.epoll()
        self._bells: set[int] = set()
        self._crew = Crew(plan, self._folder, self._policy.on_error, post)
        self.ledger = self._crew.ledger
        self._first = begin.incarnation
        for number, seq in begin.rows.items():
            row = self.ledger[number]
            row.low = row.made = row.begun = seq
            row.over = number in begin.over
        self._post, self._outposts = post, outposts or Outposts()
        self._listen(self._outposts.fileno())
        self._report: Channel | None = None
        self._deaths = Deaths(self._policy.restart)
        self._watchdog = Watchdog(self._policy.hang_s) if self._policy.hang_s else None
        #: What is to be started again, and when: the name of a helper, or an actor's number.
        self._due: dict[int | str, tuple[float, int]] = {}
        self.exit_code = 0
        self._beside: dict[str, tuple[Watcher, Card]] = {}
        self._drain = Drain()
        self._cut_at: float | None = None

    def start(self) -> None:
        """Fork the broker, the helper services, and all actors of this host."""
        for outpost in self._outposts:
            self._start_link(outpost)
        if self._post.host == HOME:
            self._start_helper("broker")
        for service in self.plan.services(self._post.host):
            self._start_helper(service)
        for number in self._crew.numbers:
            if not self.ledger[number].over:
                self._start_actor(number, self._first)

    def accompany(self, watcher: Watcher, card: Card) -> None:
        """Fork, before `start`, a process that looks at the run; its end is not that of the run."""
        self._beside[watcher.name] = watcher, card
        self._start_helper(watcher.name)
        watcher.close()

    def fileno(self) -> int:
        """Return a handle that is readable when `step` has something to do."""
        return self._poll.fileno()

    def report_to(self, launcher: Channel) -> None:
        """Tell a launcher what is to end the run; let `step` return when it says something."""
        self._report = launcher
        self._listen(launcher.reads)

    def watch(self, bell: int) -> None:
        """Let `step` return when an open file can be read; what it says is thrown away."""
        self._bells.add(bell)
        self._listen(bell)

    def step(self, timeout_s: float) -> bool:
        """Wait for something to happen; tell whether actors are still running, or will be."""
        now = time.monotonic()
        soonest = min((when for when, _ in self._due.values()), default=now + timeout_s)
        for handle, _ in self._poll.poll(max(0.0, min(timeout_s, soonest - now))):
            self._reap(handle)
        self._watch_the_clock()
        here = bool(self._of("actor")) or any(isinstance(who, int) for who in self._due)
        return here or bool(self._outposts.left)

    @property
    def is_alone(self) -> bool:
        """Whether an agent's launcher cannot be reached any more."""
        return self._report is not None and not self._of("gate")

    def drain(self) -> None:
        """Ask the sources to stop; what is under way still reaches the sinks."""
        if not self._drain.begun:
            self._drain.begin(time.monotonic())
            self._outposts.tell("drain")
            for child in self._of("actor"):
                if child.waits:
                    child.signal(signal.SIGUSR1)

    def cut(self) -> None:
        """Stop all actors at once; each still shuts its processor down."""
        self._await_nobody()
        if self._cut_at is None:
            self._cut_at = time.monotonic()
            self._outposts.tell("cut")
            for child in self._of("actor"):
                child.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill whatever is left."""
        self._await_nobody()
        self._cut_at = self._cut_at or time.monotonic()
        self._outposts.tell("kill")
        for child in self._children.values():
            if child.kind not in _SPEAKERS:
                child.signal(signal.SIGKILL)

    def finish(self) -> None:
        """End broker and services, and wait for every process."""
        self._await_nobody()
        self._cut_at = self._cut_at or time.monotonic()
        if self._report is not None:
            self._poll.unregister(self._report.reads)  # nobody will read it any more
        for child in self._children.values():
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + _KILL_S
        while self._children:
            for handle, _ in self._poll.poll(0.1):
                self._reap(handle)
            if time.monotonic() > deadline:
                self.kill()
                for child in self._children.values():
                    child.signal(signal.SIGKILL)
        self._poll.close()
        self._outposts.account(self.plan, self.ledger)
        self._crew.close()
        self._outposts.close()

    # Starting

    def _start_link(self, outpost: Outpost) -> None:
        self.keep(outpost.start(self, self._folder, self._outposts))
        self._listen(outpost.fileno())

    def _start_actor(self, number: int, incarnation: int) -> None:
        name, waits = self._crew.name(number), self._crew.waits(number)
        poison = self._deaths.poison(number)
        work = self._crew.work(number, incarnation, poison)
        pid = self._fork(name, work)
        child = Child(name, pid, "actor", waits=waits, number=number, incarnation=incarnation)
        self.keep(child)
        if self._watchdog is not None:
            self._watchdog.forget(number)
        if self._drain.begun and waits:
            child.signal(signal.SIGUSR1)

    def _start_helper(self, name: str, incarnation: int = 1) -> None:
        kind = "broker" if name == "broker" else "watcher" if name in self._beside else "service"
        last = signal.SIGTERM if kind == "broker" else signal.SIGKILL  # the broker cleans up
        pid = self._fork(name, self._helper(name), last)
        self.keep(Child(name, pid, kind, incarnation=incarnation))

    def _fork(self, name: str, work: Callable[[], int], last: int = signal.SIGKILL) -> int:
        def alone() -> int:
            self._outposts.let_go()  # whose agent would not see the end of its channel
            return work()

        return fork(f"caspy: {self.plan.bus}/{name}", alone, last)

    def _helper(self, name: str) -> Any:
        folder, plan = self._folder, self.plan
        if name in self._beside:
            watcher, card = self._beside[name]
            return lambda: watcher.serve(card)
        if name == "broker":
            names = {actor.number: actor.name for actor in plan.actors}
            awaited = sum(watcher.last_word for watcher, _ in self._beside.values())
            return lambda: helpers.serve_broker(plan.run, folder, names, awaited)
        return lambda: helpers.serve(name, folder)

    def keep(self, child: Child) -> None:
        """Watch a process that was forked, and end it with the others."""
        self._children[child.handle] = child
        self._listen(child.handle)

    def _listen(self, handle: int) -> None:
        self._poll.register(handle, select.EPOLLIN)

    def _await_nobody(self) -> None:
        """Start nobody again; a host that was waited for is lost."""
        for outpost in self._outposts:
            if outpost.name in self._due or self._outposts.is_sought(outpost.name):
                outpost.give_up()
        self._due.clear()
        self._outposts.seek_no_more()

    def _of(self, kind: str) -> list[Child]:
        return [child for child in self._children.values() if child.kind == kind]

    # Ending

    def _reap(self, handle: int) -> None:
        child = self._children.pop(handle, None)
        if child is None:
            self._heed(handle)
            return
        self._poll.unregister(handle)
        code = child.reap()
        self._drain.stir(time.monotonic())
        if child.kind == "link":
            self._link_ended(self._outposts.named(child.name), code)
        elif self._cut_at is not None:
            return
        elif child.kind == "actor":
            self._actor_ended(child, code)
        elif child.kind == "gate":  # the launcher has gone
            self.cut()
        elif self._of("actor") or self._due or self._outposts.left:
            self._helper_ended(child, code)

    def _heed(self, handle: int) -> None:
        """Read what woke the supervisor, which is not the end of a process."""
        if handle in self._bells:
            os.read(handle, 64)
        outpost = self._outposts.at(handle)
        for message in outpost.hear() if outpost is not None else ():
            self._drain.stir(time.monotonic())
            if message["op"] == "failed":
                self._fail(cut=message["cut"])
            elif message["op"] == "ended" and message["code"]:
                self.exit_code = self.exit_code or 1

    def _link_ended(self, outpost: Outpost, code: int) -> None:
        self._poll.unregister(outpost.fileno())
        if self._cut_at is None:
            self._lost(outpost, code)
        elif code:
            outpost.give_up()
        else:
            outpost.ended = True

    def _lost(self, outpost: Outpost, code: int) -> None:
        """Note that another host has gone, with its actors."""
        outpost.is_unheard = True
        outpost.ended = outpost.ended or outpost.is_done(self.ledger)
        if outpost.ended:
            return
        why, now = outpost.why(code), time.monotonic()
        if outpost.is_repeatable and self._deaths.note(outpost.name, now) is not None:
            wait_s = outpost.fence_s(code)
            log.warning(
                'msg="a host is lost: %s; its actors are started again in %.0f s" host=%s', why,
                wait_s, outpost.alias,
            )  # fmt: skip
            self._due[outpost.name] = (now + wait_s, 0)
            return
        outpost.give_up()
        log.error('msg="a host is lost: %s" host=%s', why, outpost.alias)
        self._fail(cut=True)

    def _renew(self, name: str) -> None:
        """Have an agent again for a host that was lost, there or on another one."""
        if not self._outposts.seek(name, self.plan, self.ledger):
            log.info('msg="nothing was left to do for the actors of a lost host" host=%s', name)

    def _renewed(self, name: str, found: Outpost | PlanError) -> None:
        if isinstance(found, PlanError):
            log.error('msg="%s"', found)
            self._outposts.named(name).give_up()
            self._fail(cut=True)
            return
        log.warning('msg="the actors of a lost host are started again" host=%s', found.alias)
        self._start_link(found)
        if self._drain.begun:
            found.tell("drain")

    def _fail(self, *, cut: bool) -> None:
        """End the run, which has failed: at once, or when what is under way is done."""
        self.exit_code = 1
        if self._report is not None:
            self._report.send("failed", cut=cut)
        if cut:
            self.cut()
        else:
            self.drain()

    def _actor_ended(self, child: Child, code: int) -> None:
        row = self._crew.row(child.number)
        if code == 0:
            return
        # It has said why, and what is behind it drains.
        if code == FAILED or (row.over and row.failed):
            self._fail(cut=False)
        elif row.over:
            log.debug('msg="%s, after all was done" actor=%s', _what(code), child.name)
        elif code == NOT_STARTED and child.incarnation == self._first:  # it has said why
            self._fail(cut=True)
        else:
            self._start_again(child, code)

    def _start_again(self, child: Child, code: int) -> None:
        number, row, now = child.number, self._crew.row(child.number), time.monotonic()
        if code == OUTSIDE:
            self._due[number] = (
                now + self._deaths.note_outside(number, now), child.incarnation + 1
            )  # fmt: skip
            return
        if row.begun > row.made and not child.waits:
            self._deaths.blame(number, row.begun - 1)
        delay_s = self._deaths.note(number, now)
        if delay_s is None:
            often = self._deaths.count(number)
            log.error(
                'msg="%s%s" actor=%s', _what(code),
                f", {often} times in {SPAN_S:.0f} s: given up (-restart N)" if often > 1 else "",
                child.name,
            )  # fmt: skip
            self._fail(cut=True)
            return
        log.warning('msg="%s, is started again" actor=%s', _what(code), child.name)
        self._due[number] = (now + delay_s, child.incarnation + 1)

    def _helper_ended(self, child: Child, code: int) -> None:
        if child.kind == "watcher" and not self._beside[child.name][0].lasts:
            log.warning('msg="no more figures, data flow on" process=%s code=%s', child.name, code)
            return
        now = time.monotonic()
        delay_s = self._deaths.note(child.name, now)
        if delay_s is not None:
            log.warning('msg="%s, is started again" helper=%s', _what(code), child.name)
            self._due[child.name] = (now + delay_s, child.incarnation + 1)
        elif child.kind in ("broker", "watcher"):
            log.warning(
                'msg="%s, too often; data flow on without it" helper=%s', _what(code), child.name
            )
        else:
            log.error('msg="%s, too often: given up" helper=%s', _what(code), child.name)
            self._fail(cut=True)

    # The clock

    def _watch_the_clock(self) -> None:
        now = time.monotonic()
        if self._cut_at is not None:
            if now > self._cut_at + _KILL_S:
                self.kill()
            return
        for who, (when, incarnation) in list(self._due.items()):
            if now >= when:
                del self._due[who]
                if isinstance(who, int):
                    self._start_actor(who, incarnation)
                elif who.startswith("@"):
                    self._renew(who)
                else:
                    self._start_helper(who, incarnation)
        for name, found in self._outposts.found():
            self._renewed(name, found)
        if self._watchdog is not None:
            self._kill_the_hung(self._watchdog, now)
        left = [child.name for child in self._of("actor")] + self._outposts.left
        if self._drain.is_stuck(now, self._crew.progress(), left):
            self._fail(cut=True)

    def _kill_the_hung(self, watchdog: Watchdog, now: float) -> None:
        for child in self._of("actor"):
            why = watchdog.hung(child.number, self._crew.row(child.number), now, waits=child.waits)
            if why:
                log.error('msg="%s: killed (-hang)" actor=%s', why, child.name)
                watchdog.forget(child.number)
                child.signal(signal.SIGKILL)


def _what(code: int) -> str:
    """Say how a process has ended."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code == RESTART:
        return "failed"
    return "lost its sockets" if code == SOCKETS_FAILED else f"ended with exit code {code}"
