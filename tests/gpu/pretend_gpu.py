# SPDX-License-Identifier: BSD-3-Clause
"""GPUs that are not there: tensors that say "cuda:0", computed on the CPU.

A `PretendTensor` holds an ordinary tensor of the CPU, `value`, and says that it is on
a GPU. To torch's C++ code it is on "meta", so that autograd asks for no GPU. Two modes
see every call: `_Placing` in Python, where "cuda" becomes the current GPU and autocast
acts, and `_Computing` below autograd, where each operation runs on the values. There,
as on a GPU,

* an operation whose tensors are on several devices raises RuntimeError;
* each GPU has random numbers of its own;
* what lets the host wait for the GPU is counted, in ``gpus.waits``, and the bytes that
  are copied to it, in ``gpus.uploaded``.

It does not pretend times, memory, rounding or streams.
"""

import io
import threading
from collections import Counter
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# The pretended GPUs stand in for inner functions of torch, which change. They were
# tried with this version and later ones.
TRIED_FROM = (2, 14)
# Operations whose result the host reads, or whose size depends on values.
_WAITING = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2"}
_INDEXING = {"index", "index_put", "index_put_"}
# What autocast computes in bfloat16 and in float32, as far as this library calls it.
_LOW = ("linear", "conv2d", "conv_transpose2d", "matmul", "__matmul__")
_FULL = ("layer_norm", "group_norm", "softplus", "log_softmax", "cdist", "sum")
_AUTOCAST = dict.fromkeys(_LOW, torch.bfloat16) | dict.fromkeys(_FULL, torch.float32)


def can_pretend():
    """Return whether torch is new enough for pretended GPUs."""
    return tuple(map(int, torch.__version__.split(".")[:2])) >= TRIED_FROM


class PretendGPUs:
    """How many GPUs there are, their free memory, random numbers, and waits."""

    def __init__(self, n):
        self.n = n
        self.there = True  # False: as on a machine without
        self.free = 2**30
        self.waits = Counter()
        self.uploaded = 0  # bytes
        self.random = [_random_state(i) for i in range(n)]
        self.cast = {}  # weights that autocast has cast, by id, and what they were
        self._thread = threading.local()
        self.last = None  # where the last operation was

    @property
    def current(self):
        """The GPU of this thread that "cuda" means."""
        return getattr(self._thread, "current", 0)

    @current.setter
    def current(self, index):
        self._thread.current = index

    def index(self, device=None):
        """Return the number of a GPU."""
        if isinstance(device, int):
            return device
        device = torch.device("cuda" if device is None else device)
        return self.current if device.index is None else device.index

    def place(self, device):
        """Return a device with its number, or raise RuntimeError if it is not there."""
        device = torch.device(device)
        if device.type != "cuda":
            return device
        index = self.index(device)
        if not self.there or index >= self.n:
            raise RuntimeError(f"CUDA error: invalid device ordinal ({device})")
        return torch.device("cuda", index)

    def exchange(self, index):
        """Make another GPU the current one; return the number of the last."""
        before, self.current = self.current, index
        return before

    def seed(self, index, seed):
        """Seed one GPU."""
        self.random[index] = _random_state(seed)


gpus = None  # the ones that are pretended now


def _random_state(seed):
    """Return the state of a generator that was seeded."""
    return torch.Generator().manual_seed(seed).get_state()


def _mapped(function, value):
    """Return a value with a function of every tensor in its lists and dicts.

    torch has such functions, too, which take most of the time of a test.
    """
    if isinstance(value, torch.Tensor):
        return function(value)
    if type(value) in (list, tuple):
        return type(value)([_mapped(function, part) for part in value])
    if type(value) is dict:
        return {name: _mapped(function, part) for name, part in value.items()}
    return value


class PretendTensor(torch.Tensor):
    """A tensor of a GPU that is not there."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: self.placed)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    def __new__(cls, value, placed):
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            value.size(),
            strides=value.stride(),
            dtype=value.dtype,
            storage_offset=value.storage_offset(),
            device="meta",
        )
        self.value, self.placed = value, placed
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})

    def __tensor_flatten__(self):  # then nn.Module.to swaps the tensors
        return ["value"], self.placed

    def to(self, *args, **kwargs):
        """Move or cast."""
        return move(self, *args, **kwargs)

    def cpu(self):
        """Copy to the CPU, which waits."""
        return move(self, "cpu")

    def tolist(self):
        """Copy to the CPU, which waits."""
        return self.cpu().tolist()

    def numpy(self, **kwargs):
        """Raise TypeError, as for every tensor of a GPU."""
        raise TypeError(f"can't convert {self.placed} device type tensor to numpy.")

    __array__ = numpy

    @property
    def data(self):
        """The tensor without its graph."""
        return self.detach()

    @data.setter
    def data(self, other):
        torch.Tensor.data.__set__(self, other)
        self.value, self.placed = other.value, other.placed

    def __deepcopy__(self, memo):
        copy = PretendTensor(self.value.detach().clone(), self.placed)
        return memo.setdefault(id(self), self._alike(copy))

    def __reduce_ex__(self, protocol):
        buffer = io.BytesIO()
        torch.save(self.value.detach(), buffer)
        is_parameter = isinstance(self, torch.nn.Parameter)
        storage = _Storage(self.placed, buffer.getvalue())
        return _restored, (storage, self.requires_grad, is_parameter)

    def _alike(self, copy):
        """Return a copy as a parameter, or with a gradient, if this one is so."""
        is_parameter = isinstance(self, torch.nn.Parameter)
        return _restored(copy, self.requires_grad, is_parameter)


def _restored(tensor, requires_grad, is_parameter):
    """Return a tensor as what it was before it was copied."""
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)


class _Storage:
    """What a pickle holds of a pretended tensor; torch's own function reads it."""

    def __init__(self, placed, data):
        self.data = b"PRETEND " + str(placed).encode() + b"\n" + data

    def __reduce__(self):
        return torch.storage._load_from_bytes, (self.data,)


_torch_load = torch.load


def _load(file, map_location=None, **kwargs):
    """Stand in for torch.load, also for what a `_Storage` wrote."""
    head = file.getvalue()[:100] if hasattr(file, "getvalue") else b""
    if head.startswith(b"PRETEND "):
        name, _, data = file.getvalue().partition(b"\n")
        placed = gpus.place(map_location or name.split()[1].decode())
        tensor = _torch_load(io.BytesIO(data))
        return tensor if placed.type == "cpu" else PretendTensor(tensor, placed)
    if map_location is not None and torch.device(map_location).type == "cuda":
        map_location = "cpu"
    return _torch_load(file, map_location=map_location, **kwargs)


def move(x, *args, memory_format=None, non_blocking=False, **kwargs):
    """Stand in for Tensor.to where one of the devices is pretended."""
    given = {type(value): value for value in (*args, *kwargs.values())}
    like = given.get(PretendTensor, given.get(torch.Tensor, x))
    device = gpus.place(given.get(torch.device, given.get(str, like.device)))
    dtype = given.get(torch.dtype, like.dtype)
    is_laid_out = memory_format is None or x.is_contiguous(memory_format=memory_format)
    if device == x.device and dtype == x.dtype and is_laid_out and not given.get(bool):
        return x
    options = {"non_blocking": non_blocking, "memory_format": memory_format}
    return torch.ops.aten._to_copy(x, dtype=dtype, device=device, **options)


class _Placing(TorchFunctionMode):
    """See the calls in Python, before C++ looks for a GPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to:
            names = torch.device, PretendTensor, str
            if any(isinstance(a, names) for a in (*args[1:], *kwargs.values())):
                return move(*args, **kwargs)
        if func is torch.tensor:  # C++ would copy it to a true GPU
            device = kwargs.pop("device", None) or torch.get_default_device()
            return move(func(*args, device="cpu", **kwargs), device)
        if kwargs.get("device") is not None:
            kwargs["device"] = gpus.place(kwargs["device"])
        for arg in args:
            if isinstance(arg, PretendTensor):
                gpus.last = arg.placed
                break
        dtype = _AUTOCAST.get(getattr(func, "__name__", ""))
        if dtype is not None and torch.is_autocast_enabled("cuda"):

            def cast(t):
                if not (isinstance(t, PretendTensor) and t.is_floating_point()):
                    return t
                if t.is_leaf and t.requires_grad and dtype == torch.bfloat16:
                    _refuse_old_copy(t)
                return move(t, dtype)

            args, kwargs = _mapped(cast, args), _mapped(cast, kwargs)
        return func(*args, **kwargs)


def _refuse_old_copy(weight):
    """Raise RuntimeError where autocast would use its copy of a weight that moved."""
    now = weight.value
    _, before = gpus.cast.setdefault(id(now), (now, now.clone()))
    if not torch.equal(before, now):
        raise RuntimeError("autocast holds a copy of this weight from before a step")


class _Computing(TorchDispatchMode):
    """See the operations below autograd."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    """Run an operation on the values, where a GPU would run it."""
    tensors = []
    _mapped(tensors.append, [args, kwargs])
    pretended = [t for t in tensors if isinstance(t, PretendTensor)]
    device = _device_of(kwargs, pretended)
    if not pretended and device.type != "cuda":
        return func(*args, **kwargs)
    _count_waits(func, args, kwargs, tensors, device)
    _refuse_several_devices(func, args, tensors, pretended)
    plain, options = (_mapped(_value, part) for part in (args, kwargs))
    if "device" in options:
        options["device"] = torch.device("cpu")
    result = _drawn(func, plain, options, device)
    known = {id(t.value): t for t in pretended}
    is_view = any(r.alias_info for r in func._schema.returns)

    def wrapped(value):
        if id(value) in known or device.type == "cpu":
            return known.get(id(value), value)
        with torch.inference_mode(torch.is_inference_mode_enabled() and not is_view):
            return PretendTensor(value, device)

    return _mapped(wrapped, result)


def _value(tensor):
    """Return the tensor that computes."""
    return tensor.value if isinstance(tensor, PretendTensor) else tensor


def _device_of(kwargs, pretended):
    """Return where the result of an operation is."""
    device = kwargs.get("device")
    device = None if device is None else gpus.place(device)
    if device is not None and device.type == "meta" and (pretended or gpus.last):
        # C++ asks for a tensor like another, which it takes to be there.
        return pretended[0].placed if pretended else gpus.last
    if device is None:
        return pretended[0].placed if pretended else torch.device("cpu")
    return device


def _count_waits(func, args, kwargs, tensors, device):
    """Count the operation if the host waits for it."""
    name = _name(func)
    if name in ("_to_copy", "copy_"):
        target = device if name == "_to_copy" else args[0].device
        if {t.device for t in tensors} != {target} and not kwargs.get("non_blocking"):
            gpus.waits[name] += 1
        if target.type == "cuda":
            gpus.uploaded += sum(t.nbytes for t in tensors if t.device.type == "cpu")
    elif name in _INDEXING and isinstance(args[0], PretendTensor):
        # The GPU counts what a mask takes; an index on the CPU is copied first.
        waiting = [
            t.dtype == torch.bool or not isinstance(t, PretendTensor)
            for t in args[1]
            if t is not None
        ]
        gpus.waits[name] += sum(waiting)
    elif name in _WAITING:
        gpus.waits[name] += 1


def _refuse_several_devices(func, args, tensors, pretended):
    """Raise RuntimeError if an operation meets tensors of several devices."""
    name = _name(func)
    if name in ("_to_copy", "copy_"):
        return
    if name in _INDEXING and isinstance(args[0], PretendTensor):
        tensors = pretended  # the index may be on the CPU
    takes_numbers = torch.Tag.pointwise in func.tags or name in ("where", "fill_")
    devices = {
        t.device
        for t in tensors
        if not (takes_numbers and t.ndim == 0 and t.device.type == "cpu")
    }
    if len(devices) > 1:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found {devices} "
            f"in {func}"
        )


def _drawn(func, args, options, device):
    """Run an operation; if it draws random numbers, those of its GPU."""
    if device.type != "cuda" or torch.Tag.nondeterministic_seeded not in func.tags:
        return func(*args, **options)
    before = torch.get_rng_state()
    torch.set_rng_state(gpus.random[device.index])
    try:
        result = func(*args, **options)
        gpus.random[device.index] = torch.get_rng_state()
    finally:
        torch.set_rng_state(before)
    return result


def _name(func):
    """Return the name of an operation."""
    return func._schema.name.removeprefix("aten::")


def _stand_ins():
    """Return what stands in for the functions of torch.cuda."""
    return {
        "is_available": lambda: gpus.there,
        "device_count": lambda: gpus.n if gpus.there else 0,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "current_device": lambda: gpus.current,
        "set_device": lambda device: gpus.exchange(gpus.index(device)),
        "_exchange_device": lambda index: gpus.exchange(index),
        "_maybe_exchange_device": lambda index: gpus.exchange(index),
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_name": lambda device=None: "pretended",
        "is_bf16_supported": lambda *args: True,
        "mem_get_info": lambda device=None: _memory(device),
        "get_rng_state": lambda device=None: gpus.random[gpus.index(device)].clone(),
        "set_rng_state": lambda state, device=None: gpus.random.__setitem__(
            gpus.index(device), state.clone()
        ),
        "manual_seed": lambda seed: gpus.seed(gpus.current, seed),
        "manual_seed_all": lambda seed: [gpus.seed(i, seed) for i in range(gpus.n)],
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
    }


def _memory(device):
    """Return free and total memory; torch 2.4 does not take a device without number."""
    if isinstance(device, torch.device) and device.index is None:
        raise ValueError(f"Expected a torch.device with a specified index: {device}")
    return gpus.free, 2 * gpus.free


@contextmanager
def pretending(monkeypatch, n=2):
    """Let torch see `n` GPUs in the block, also in threads that start meanwhile."""
    global gpus
    gpus = PretendGPUs(n)
    run = threading.Thread.run

    def run_thread(self):
        with _Placing(), _Computing():
            run(self)

    for name, stand_in in _stand_ins().items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch, "load", _load)
    clear_autocast_cache = torch.clear_autocast_cache

    def clear():
        gpus.cast.clear()
        clear_autocast_cache()

    monkeypatch.setattr(torch, "clear_autocast_cache", clear)

    def _load_from_bytes(data):
        return _load(io.BytesIO(data))

    _load_from_bytes.__module__ = "torch.storage"  # so pickle finds it by its name
    _load_from_bytes.__qualname__ = "_load_from_bytes"
    monkeypatch.setattr(torch.storage, "_load_from_bytes", _load_from_bytes)
    for check in (
        "_accelerator_graph_capture_health_check",
        "_cuda_graph_capture_health_check",
    ):
        monkeypatch.setattr(
            torch.optim.Optimizer, check, lambda self: None, raising=False
        )
    monkeypatch.setattr(threading.Thread, "run", run_thread)
    # nn.Module.to keeps its parameters, as on a GPU, by swapping what they are.
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Placing(), _Computing():
            yield gpus
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)
