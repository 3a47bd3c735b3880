import os
import signal

import pytest

from tff_asr.programs import stopping

BOTH = pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_a_signal_is_noted_and_the_next_does_what_it_always_did(number, capfd):
  before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
  with stopping.StopRequest() as stop:
    assert not stop.is_made()
    os.kill(os.getpid(), number)
    assert stop.is_made() and stop.signal == number
    note = f'{number.name}: the program stops when the round is finished'
    assert note in capfd.readouterr().err
    assert {n: signal.getsignal(n) for n in before} == before
    if number == signal.SIGINT:
      with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@BOTH
def test_signals_are_as_before_afterwards(number):
  before = signal.getsignal(number)
  with stopping.StopRequest():
    assert signal.getsignal(number) != before
  assert signal.getsignal(number) == before
