"""Every operation of TensorFlow that could keep a state is classed."""

import re

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from tff_asr.executors import resources

# Operations that are refused.  They keep a state for whoever comes next ...
KEEP_STATE = """
  Barrier|Batch|BatchFunction|Unbatch|UnbatchGrad
  .*ConditionalAccumulator|ResourceConditionalAccumulator
  .*Queue(V2)?|FakeQueue|Stack|TensorArray(V2)?|TensorArrayGrad(V2)?
  .*Reader(V2)?|RecordInput|Skipgram|NegTrain
  (Ordered)?Map(Unstage|UnstageNoKey|Peek|Size|IncompleteSize|Clear|Stage)
  Stage|Stage(Peek|Size|Clear)|Unstage
  Variable(V2)?|TemporaryVariable|_VarHandlesOp|_ReadVariablesOp
  (Mutable)?(Dense)?HashTable(OfTensors)?
  Iterator|OneShotIterator|(MultiDevice)?IteratorFromStringHandle(V2)?
  MultiDeviceIterator|AnonymousMultiDeviceIterator(V3)?
  (Experimental)?(StatsAggregatorHandle|ThreadPoolHandle)(V2)?|SummaryWriter
  (LearnedUnigram|ThreadUnsafeUnigram)CandidateSampler
  (Add|Take)(Many)?Sparse(To|From)TensorsMap
  GetSessionHandle(V2)?|GetSessionTensor|DeleteSessionTensor
  BoostedTrees.*|CreateTRTResourceHandle|GetCalibrationDataOp
  SerializeTRTResource|MakeWeakResourceHandle|StubResourceHandleOp
  CustomAggregator|CheckPinned|ResourceCreateOp
  (Eager)?PyFunc
"""
# ... speak to other machines, devices or settings of the process, or are
# TensorFlow's own.
ELSEWHERE = """
  _.*|.*TPU.*|.*Xla.*|.*Nccl.*|Collective.*|.*[Ii]nfeed.*|.*[Oo]utfeed.*
  Rpc.*|DeleteRpc.*|Send|Recv|CrossReplicaSum|AllToAll|RemoteCall|RiscWhile
  DTensor.*|Distributed.*|ConfigureAndInitialize.*|WorkerHeartbeat
  ComputeDedupDataTupleMask|SyncDevice|FileSystemSetConfiguration
  DebugIdentityV[23]|DeviceIndex|DevicePlacementOp|GraphDefVersion
  IsTensorFloat32Enabled|Sleep.*|Test.*|RequiresOlderGraphVersion
  DtypeWithDefaultOp
"""
# Have a reference to what a refused operation has made.
REFERENCES = """
  Ref.*|DebugGradientRefIdentity|Assign(Add|Sub)?|CountUpTo
  (Sparse)?Apply.*|Scatter.*|StridedSliceAssign
"""


def registered():
  """Yields all operations that TensorFlow knows."""
  buffer = pywrap_tf_session.TF_GetAllOpList()
  found = op_def_pb2.OpList()
  found.ParseFromString(pywrap_tf_session.TF_GetBuffer(buffer))
  # Other packages add theirs (`Addons>Name`), which are refused as unknown.
  return [op for op in found.op if '>' not in op.name]


def is_refused_on_purpose(name):
  patterns = f'{KEEP_STATE} {ELSEWHERE} {REFERENCES}'.split()
  return any(re.fullmatch(pattern, name) for pattern in patterns)


def test_every_operation_that_could_keep_a_state_is_classed():
  """A new one is refused, and this fails until somebody has classed it."""
  unclassed = [
    op.name
    for op in registered()
    if not resources.is_isolated(op.name) and not is_refused_on_purpose(op.name)
  ]
  assert not unclassed


def test_whoever_makes_a_resource_is_isolated_by_name_only():
  """No rule lets an operation through that makes a resource."""
  made = [
    op.name
    for op in registered()
    if any(a.type == tf.resource or a.is_ref for a in op.output_arg)
    or any(a.name in ('container', 'shared_name') for a in op.attr)
  ]
  known = {resources.VARIABLE, *resources._ANONYMOUS, *resources._NEW}
  assert len(made) > 100
  assert {name for name in made if resources.is_isolated(name)} <= known
