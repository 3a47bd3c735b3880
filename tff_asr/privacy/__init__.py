"""Privacy: the plan, per-layer clipping and noise, accounting."""

from tff_asr.privacy.accounting.accountants import Epsilons, epsilons, Relation
from tff_asr.privacy.accounting.ledger import Ledger
from tff_asr.privacy.accounting.releases import RoundRelease
from tff_asr.privacy.mechanism.gaussian import Gaussian
from tff_asr.privacy.mechanism.layer_clipping import LayerClipping
from tff_asr.privacy.mechanism.mechanism_protocol import Mechanism
from tff_asr.privacy.mechanism.mechanisms import register as register_mechanism
from tff_asr.privacy.plans import PrivacyPlan
from tff_asr.privacy.sampling.fixed_size import FixedSize
from tff_asr.privacy.sampling.poisson import Poisson
from tff_asr.privacy.sampling.sampling_protocol import Scheme
from tff_asr.privacy.sampling.schemes import register as register_scheme
from tff_asr.privacy.sampling.turns import Turns

__all__ = [
  'Epsilons',
  'FixedSize',
  'Gaussian',
  'LayerClipping',
  'Ledger',
  'Mechanism',
  'Poisson',
  'PrivacyPlan',
  'Relation',
  'RoundRelease',
  'Scheme',
  'Turns',
  'epsilons',
  'register_mechanism',
  'register_scheme',
]
