"""Names that moved to another package on TFF's main branch after release 0.87.

The other package is `federated_language`: it has TFF's language and the part of
`tff.program` that does not depend on an execution platform.  Modules import the
names below from here.  Many modules use other moved names directly from `tff`,
such as types, `tff.SERVER` and `tff.framework`: an update of TFF must change
these uses, too.
"""

import tensorflow_federated as tff

CLIENTS = tff.CLIENTS
Value = tff.Value
federated_map = tff.federated_map
federated_sum = tff.federated_sum
federated_value = tff.federated_value
tf_computation = tff.tensorflow.computation

ProgramStateManager = tff.program.ProgramStateManager
ProgramStateExistsError = tff.program.ProgramStateExistsError
ProgramStateNotFoundError = tff.program.ProgramStateNotFoundError
ReleaseManager = tff.program.ReleaseManager
