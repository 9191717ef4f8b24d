"""Provider states and paces as pure steps in time."""

from __future__ import annotations

from chain.rpc import health as healths
from chain.rpc import throttle as throttles
from chain.rpc.health import Health, ProviderState
from chain.rpc.throttle import Throttle


def failures(count: int, at: float, health: Health | None = None) -> Health:
    health = health or Health(chain_proven_until=999.0)
    for _ in range(count):
        health = healths.failed(health, at)
    return health


def test_failed__twice__still_alive_three_times_rests() -> None:
    assert healths.state_at(failures(2, 100.0), 100.0) is ProviderState.alive
    resting = failures(3, 100.0)
    assert healths.state_at(resting, 100.0) is ProviderState.unreachable
    assert healths.state_at(resting, 100.0 + 8.1) is ProviderState.alive


def test_failed__until_it_rests__chain_must_be_proven_again() -> None:
    assert failures(2, 0.0).chain_proven_until == 999.0
    assert failures(3, 0.0).chain_proven_until == 0.0


def test_score__half_life__decays() -> None:
    health = failures(2, 100.0)
    assert healths.score_at(health, 100.0) == 2.0
    assert healths.score_at(health, 130.0) == 1.0
    assert healths.score_at(healths.succeeded(health, 100.0), 100.0) == 1.0


def test_rest__grows_with_failures__at_most_a_minute() -> None:
    assert failures(20, 0.0).until == 60.0


def test_rank__states_and_scores__best_first() -> None:
    now = 50.0
    alive = Health()
    shaky = failures(1, now)
    limited = healths.limited(Health(), now, 5.0)
    behind = healths.saw_head(Health(), now, 10, 100)
    down = failures(3, now)
    misled = healths.misled(Health(), now)
    expected = [alive, shaky, limited, behind, down, misled]
    ranks = [healths.rank(health, now, 0) for health in expected]
    assert ranks == sorted(ranks) and len(set(ranks)) == len(ranks)
    assert healths.rank(alive, now, 0) < healths.rank(alive, now, 1)


def test_saw_head__behind_the_best__out_of_sync_until_it_catches_up() -> None:
    health = healths.saw_head(Health(), 10.0, 91, 99)
    assert healths.state_at(health, 10.0) is ProviderState.alive
    health = healths.saw_head(health, 10.0, 90, 99)
    assert healths.state_at(health, 10.0) is ProviderState.out_of_sync
    assert healths.state_at(healths.succeeded(health, 11.0), 11.0) is ProviderState.out_of_sync
    assert healths.state_at(healths.saw_head(health, 11.0, 99, 99), 11.0) is ProviderState.alive


def test_misled__a_success__does_not_clear_it_only_the_right_id_does() -> None:
    health = healths.misled(Health(), 10.0)
    assert healths.state_at(healths.succeeded(health, 11.0), 11.0) is ProviderState.wrong_chain
    assert healths.state_at(failures(5, 11.0, health), 11.0) is ProviderState.wrong_chain
    cleared = healths.on_right_chain(health, 11.0)
    assert healths.state_at(cleared, 11.0) is ProviderState.alive
    assert cleared.chain_proven_until == 11.0 + healths.RECHECK_CHAIN


def send(throttle: Throttle, at: float, count: int) -> Throttle:
    for _ in range(count):
        throttle, _ = throttles.reserve(throttle, at)
    return throttle


def test_f08_throttle__never_limited__no_waiting() -> None:
    throttle = send(Throttle(), 10.0, 10_000)
    assert throttles.reserve(throttle, 10.0)[1] == 0.0


def test_f08_throttle__retry_after__kept_with_little_jitter() -> None:
    throttle, pause = throttles.limited(send(Throttle(), 10.0, 50), 10.0, 7.0, jitter=1.0)
    assert pause == 8.75
    assert throttles.reserve(throttle, 10.0)[1] == 8.75


def test_f08_throttle__limited__learns_seventy_percent_of_what_was_sent() -> None:
    throttle = send(Throttle(), 10.0, 50)
    throttle, _ = throttles.limited(throttle, 10.5, None, jitter=0.0)
    assert throttle.rate == 35.0
    # Requests that were already under way come back limited too: one lesson only.
    again, _ = throttles.limited(throttle, 10.6, None, jitter=0.0)
    assert again.rate == 35.0


def test_f08_throttle__at_its_rate__a_second_lets_through_what_was_learned() -> None:
    throttle, _ = throttles.limited(send(Throttle(), 10.0, 10), 10.0, 1.0, jitter=0.0)
    assert throttle.rate == 7.0
    waits = []
    for _ in range(21):
        throttle, wait = throttles.reserve(throttle, 11.0)
        waits.append(round(wait, 6))
    assert waits[:7] == [0.0] * 7
    assert waits[20] == 2.0


def test_f08_throttle__heavy_batch__debt_is_paid_by_the_next() -> None:
    throttle, _ = throttles.limited(send(Throttle(), 10.0, 10), 10.0, 1.0, jitter=0.0)
    throttle, wait = throttles.reserve(throttle, 11.0, weight=70)
    assert wait == 0.0
    assert round(throttles.reserve(throttle, 11.0)[1], 6) == round(64 / 7, 6)
    throttle, _ = throttles.reserve(throttle, 11.0, weight=10_000)
    assert throttles.reserve(throttle, 11.0)[1] <= throttles.LONGEST_DEBT + 1


def test_f08_throttle__successes__grow_until_unlimited() -> None:
    throttle, _ = throttles.limited(send(Throttle(), 10.0, 10), 10.0, 1.0, jitter=0.0)
    throttle = throttles.accepted(throttle)
    assert throttle.rate is not None and 7.0 < throttle.rate < 7.4
    for _ in range(1000):
        throttle = throttles.accepted(throttle)
    assert throttle.rate is None


def test_f08_throttle__pauses_without_a_word__double_up_to_half_a_minute() -> None:
    throttle = Throttle()
    pauses = []
    now = 10.0
    for _ in range(9):
        throttle, pause = throttles.limited(throttle, now, None, jitter=0.0)
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert throttle.rate == throttles.SLOWEST
