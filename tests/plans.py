"""Privacy plans and settings from flat settings, by their names."""

import dataclasses

from tff_asr.privacy import plans
from tff_asr.privacy.mechanism import mechanisms
from tff_asr.privacy.sampling import schemes


def _names(kind):
  return {field.name for field in dataclasses.fields(kind)}


def _of(settings, kind):
  """Takes the settings of a kind from all of them."""
  return {n: settings.pop(n) for n in _names(kind) & settings.keys()}


def make(sampling='poisson', mechanism='gaussian', **settings):
  """A plan; `settings` are those of its scheme, its mechanism and its own."""
  scheme = schemes.named(sampling)
  of_mechanism = _of(settings, mechanisms.named(mechanism))
  return plans.PrivacyPlan(
    sampling=scheme(**_of(settings, scheme)),
    mechanism=mechanisms.make(mechanism, **of_mechanism),
    **settings,
  )


def changed(plan, **changes):
  """The plan with other settings, by any of their names."""
  settings = {**vars(plan), **vars(plan.sampling), **vars(plan.mechanism)}
  names = {'sampling': plan.sampling.name, 'mechanism': plan.mechanism.name}
  return make(**(settings | names | changes))


def changed_privacy(privacy, **changes):
  """Privacy settings of a run with others, by any of their names."""
  flat = flat_privacy(privacy) | changes
  sampling = _of(flat, schemes.SamplingSettings)
  budget = _of(flat, type(privacy.budget))
  own = _of(flat, type(privacy))
  name = own.pop('mechanism')
  return dataclasses.replace(
    privacy,
    sampling=schemes.SamplingSettings(**sampling),
    budget=type(privacy.budget)(**budget),
    mechanism=mechanisms.make(name, **flat),
    **own,
  )


def flat_privacy(privacy):
  """All privacy settings of a run by name."""
  mechanism = privacy.mechanism
  unclipped = {'clipping': None, 'noise_multiplier': 0.0}
  found = {
    **vars(privacy),
    **vars(privacy.sampling),
    **vars(privacy.budget),
    **(vars(mechanism) if mechanism else unclipped),
    'mechanism': mechanism.name if mechanism else mechanisms.DEFAULT,
  }
  del found['budget']
  return found
