"""Measures the memory of rounds by size of the cohort."""

from collections.abc import Iterator

from tff_asr.benchmarks import comparison, corpora, inputs, subject
from tff_asr.benchmarks.comparison import GB, Row
from tff_asr.programs import execution

# Different clients, the same in every cohort: larger ones take more memory.
_FEW_CLIENTS = 8
_COHORT = 128  # For the comparison with TFF's runtime.
_MANY_CLIENTS = 256
_THOUSANDS = 4_096


def memory(given: inputs.Inputs) -> Iterator[Row]:
  """Yields rows on the peak memory of rounds, by size of the cohort."""

  def peak(runtime, cohort_size, at_once=None):
    config = given.config(
      runtime=runtime,
      cohort_size=cohort_size,
      clients_per_device=at_once,
      different_clients=_FEW_CLIENTS,
      epochs=1,
    )
    return _peak(config, _MANY_CLIENTS)

  few, many = (
    peak(execution.DEVICE, size) for size in (_FEW_CLIENTS, _MANY_CLIENTS)
  )
  yield _cohorts_row(given.model, (_MANY_CLIENTS, many), (_FEW_CLIENTS, few))
  ours = peak(execution.DEVICE, _COHORT)
  for how, at_once in (('', None), (', all clients at once', _COHORT)):
    theirs = peak(execution.NATIVE, _COHORT, at_once)
    yield Row(
      f"peak memory, cohort {_COHORT}, a round / TFF's runtime{how}",
      f'{ours / theirs:.2f} ({ours / GB:.2f} GB, {theirs / GB:.2f} GB)',
      '<= 0.25',
    )


def thousands(given: inputs.Inputs) -> Iterator[Row]:
  """Yields the row of the peak memory of a cohort of thousands."""
  store = given.store_of(corpora.Commands(_FEW_CLIENTS), 'few_commands')
  few, many = (
    _peak(
      given.config(
        store=store,
        model='tiny',
        cohort_size=size,
        different_clients=_FEW_CLIENTS,
        private=True,
        epochs=1,
      ),
      _THOUSANDS,
    )
    for size in (_FEW_CLIENTS, _THOUSANDS)
  )
  yield _cohorts_row(
    '`tiny`, 2 utterances a client, DP',
    (_THOUSANDS, many),
    (_FEW_CLIENTS, few),
  )


def _peak(config: subject.SubjectConfig, clients: int) -> float:
  """Returns the peak memory of rounds that train `clients` clients in total."""
  with comparison.subject(inputs.program(config)) as running:
    rounds = clients // config.cohort_size
    return max(running.run()['peak'] for _ in range(rounds))


def _cohorts_row(
  what: str, many: tuple[int, float], few: tuple[int, float]
) -> Row:
  """Returns the row of two cohorts, each a number of clients and a peak."""
  return Row(
    f'{what}: peak memory, cohort {many[0]:,} / cohort {few[0]}',
    f'{many[1] / few[1]:.3f} ({many[1] / GB:.2f} GB, {few[1] / GB:.2f} GB)',
    '<= 1.05',
  )
