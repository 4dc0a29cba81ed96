import threading

from camagick.tools.ticker import Ticker


def test_it_ticks_until_it_is_stopped():
    ticks = threading.Semaphore(0)
    ticker = Ticker(0.001, ticks.release, "test")
    for _ in range(3):
        assert ticks.acquire(timeout=20)
    ticker.stop()
    assert ticker.error is None
    assert not [thread for thread in threading.enumerate() if thread.name == "test"]


def test_a_failure_is_kept():
    failed = threading.Event()

    def fail():
        failed.set()
        raise OSError("full")

    ticker = Ticker(0.001, fail, "test")
    assert failed.wait(20)
    ticker.stop()
    assert str(ticker.error) == "full"
