"""The names that TFF's main branch has moved since release 0.87.

There the language and the neutral half of `tff.program` are a package of their
own, `federated_language`.  All modules take these names from here, so that a
later move changes this file alone.
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
