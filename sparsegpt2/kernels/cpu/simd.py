"""Vectors of floats and integers for numba, to keep sums in registers and to count without branches.

Numba vectorises simple loops without help. But it cannot keep a tile of sums in registers over a loop of varying
length, and it cannot vectorise a count of the 16-bit integers that pass a comparison. Kernels that need this write
their inner loops with these functions. LLVM splits a vector that is wider than the machine's registers, so no
particular instruction set is needed.

A `float32` vector has 16 lanes (`load`, `store`, `fma`, ...). The comparisons work on 32 integers at a time and return
one bit for each. bfloat16 is read and written as int16.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic
from numba.extending import lower_builtin, models, register_model, type_callable

intrinsic: Any = _intrinsic  # untyped: it turns a function into one that takes other arguments

LANES = 16
WORD = 32
"""Number of integers that are compared at a time, one for each bit of a uint32."""

FLOAT, INT16, INT32 = ir.FloatType(), ir.IntType(16), ir.IntType(32)


class _Vector(types.Type):
    """The numba type of 16 float32 in a register."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


VECTOR = _Vector()
_IR = ir.VectorType(FLOAT, LANES)
_IR_INT = ir.VectorType(INT32, LANES)


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _IR)


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    """`value` in every lane of a vector of type `kind`."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(INT32, 0))
    return builder.shuffle_vector(
        one, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(INT32, kind.count), [0] * kind.count)
    )


def _constant(kind: Any, value: int | float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _call(builder: Any, name: str, arguments: Any) -> Any:
    """Call an LLVM intrinsic that takes and returns float32 vectors."""
    kind = ir.FunctionType(_IR, [_IR] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _address(context: Any, builder: Any, kind: Any, vector: Any, array: Any, index: Any) -> Any:
    """A pointer of type `vector` to element `index` of a flat, contiguous numba array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _flat(array: Any) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1


_SHORT = ir.VectorType(INT16, LANES)


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    if kind.dtype == types.float32:
        return builder.load(_address(context, builder, kind, _IR, array, index), align=4)
    half = builder.load(_address(context, builder, kind, _SHORT, array, index), align=2)
    return builder.bitcast(builder.shl(builder.zext(half, _IR_INT), _constant(_IR_INT, 16)), _IR)


def _store(context: Any, builder: Any, kind: Any, array: Any, index: Any, value: Any) -> None:
    if kind.dtype == types.float32:
        builder.store(value, _address(context, builder, kind, _IR, array, index), align=4)
        return
    bits = _rounded(builder, builder.bitcast(value, _IR_INT))
    half = builder.trunc(builder.lshr(bits, _constant(_IR_INT, 16)), _SHORT)
    builder.store(half, _address(context, builder, kind, _SHORT, array, index), align=2)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """16 entries, from `index` on, of a flat array: float32, or int16 with the bits of bfloat16."""
    if not _flat(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(context, builder, signature.args[0], *arguments)

    return VECTOR(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write 16 entries into a flat float32 array or, rounded to nearest even, as bfloat16 into an int16 array."""
    if not _flat(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _store(context, builder, signature.args[0], *arguments)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), generate


def _rounded(builder: Any, bits: Any) -> Any:
    """Bits of float32, changed so that their upper halves are the nearest bfloat16, with ties to even."""
    odd = builder.and_(builder.lshr(bits, _constant(_IR_INT, 16)), _constant(_IR_INT, 1))
    return builder.add(bits, builder.add(odd, _constant(_IR_INT, 0x7FFF)))


@intrinsic
def broadcast(typing: Any, value: Any) -> Any:
    """The same float32 in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0], _IR)

    return VECTOR(types.float32), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.fma.v16f32", arguments)

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger of a and b, lane by lane; `a` if one of them is nan."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered("<", a, b), b, a)

    return VECTOR(VECTOR, VECTOR), generate


@intrinsic
def two_to(typing: Any, whole: Any) -> Any:
    """2 ** n, lane by lane, for lanes that hold whole numbers n from -126 to 127."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        exponent = builder.add(builder.fptosi(arguments[0], _IR_INT), _constant(_IR_INT, 127))
        return builder.bitcast(builder.shl(exponent, _constant(_IR_INT, 23)), _IR)

    return VECTOR(VECTOR), generate


@intrinsic
def round_(typing: Any, vector: Any) -> Any:
    """The nearest whole number, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.rint.v16f32", arguments)

    return VECTOR(VECTOR), generate


@intrinsic
def from_lane(typing: Any, vector: Any, first: Any, other: Any) -> Any:
    """`vector` with all lanes before lane `first` set to `other`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, first, other = arguments
        places = ir.Constant(_IR_INT, list(range(LANES)))
        limits = _splat(builder, builder.trunc(first, INT32), _IR_INT)
        return builder.select(builder.icmp_signed(">=", places, limits), vector, _splat(builder, other, _IR))

    return VECTOR(VECTOR, types.intp, types.float32), generate


class _Tile(types.Type):
    """The numba type of 16 vectors: sums or operands that stay in registers during a loop."""

    def __init__(self) -> None:
        super().__init__(name="float32x16x16")


TILE = _Tile()
_IR_TILE = ir.ArrayType(_IR, LANES)


@register_model(_Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _IR_TILE)


def _element(context: Any, builder: Any, kind: Any, array: Any, index: Any, offset: int) -> Any:
    """A vector with array[index + offset] of a flat float32 array in every lane."""
    data = context.make_array(kind)(context, builder, array).data
    place = builder.add(index, ir.Constant(index.type, offset))
    return _splat(builder, builder.load(builder.gep(data, [place])), _IR)


@intrinsic
def zero_tile(typing: Any) -> Any:
    """16 vectors of zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(_IR_TILE, [_constant(_IR, 0.0)] * LANES)

    return TILE(), generate


@intrinsic
def load_tile(typing: Any, array: Any, index: Any) -> Any:
    """256 float32 of a flat array, from `index` on, as 16 vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile = ir.Constant(_IR_TILE, ir.Undefined)
        address = _address(context, builder, signature.args[0], _IR, *arguments)
        for i in range(LANES):
            tile = builder.insert_value(tile, builder.load(builder.gep(address, [INT32(i)]), align=4), i)
        return tile

    return TILE(types.Array(types.float32, 1, "C"), types.intp), generate


@intrinsic
def store_tile(typing: Any, array: Any, index: Any, tile: Any) -> Any:
    """Write 16 vectors one after the other into a flat float32 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], _IR, *arguments[:2])
        for i in range(LANES):
            builder.store(builder.extract_value(arguments[2], i), builder.gep(address, [INT32(i)]), align=4)
        return context.get_dummy_value()

    return types.void(types.Array(types.float32, 1, "C"), types.intp, TILE), generate


@intrinsic
def dot_tile(typing: Any, tile: Any, array: Any, index: Any) -> Any:
    """The sum over i of the vectors tile[i] * array[index + i]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, array, index = arguments
        sums = [_constant(_IR, 0.0)] * 2  # two chains of additions, which the CPU can overlap
        for i in range(LANES):
            factor = _element(context, builder, signature.args[1], array, index, i)
            sums[i % 2] = _call(builder, "llvm.fma.v16f32", [builder.extract_value(tile, i), factor, sums[i % 2]])
        return builder.fadd(*sums)

    return VECTOR(TILE, types.Array(types.float32, 1, "C"), types.intp), generate


@intrinsic
def add_outer(typing: Any, tile: Any, vector: Any, array: Any, index: Any) -> Any:
    """A tile with tile[i] + vector * array[index + i] for each i."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, vector, array, index = arguments
        for i in range(LANES):
            factor = _element(context, builder, signature.args[2], array, index, i)
            total = _call(builder, "llvm.fma.v16f32", [vector, factor, builder.extract_value(tile, i)])
            tile = builder.insert_value(tile, total, i)
        return tile

    return TILE(TILE, VECTOR, types.Array(types.float32, 1, "C"), types.intp), generate


class _BFloat(ir.Type):
    """LLVM's type bfloat, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"


_IR_PAIRS = ir.VectorType(_BFloat(), 2 * LANES)


@intrinsic
def add_pairs(typing: Any, tile: Any, factors: Any, array: Any, index: Any) -> Any:
    """A tile with 16 dot products added to tile[i], for each i. Each is of two pairs of bfloat16: a · c + b · d.

    factors: an int32 that holds the pair (a, b), the same for all dot products. array: flat int32, each entry a pair
    (c, d). Lane j of tile[i] takes the entry at index + 16 * i + j. Needs a CPU with avx512_bf16.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, factors, array, index = arguments
        kind = ir.FunctionType(_IR, [_IR, _IR_PAIRS, _IR_PAIRS])
        dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
        factors = builder.bitcast(_splat(builder, factors, _IR_INT), _IR_PAIRS)
        address = _address(context, builder, signature.args[2], _IR_INT, array, index)
        for i in range(LANES):
            values = builder.bitcast(builder.load(builder.gep(address, [INT32(i)]), align=4), _IR_PAIRS)
            total = builder.call(dot, [builder.extract_value(tile, i), values, factors])
            tile = builder.insert_value(tile, total, i)
        return tile

    return TILE(TILE, types.int32, types.Array(types.int32, 1, "C"), types.intp), generate


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """Position of the lowest set bit in a uint32, which must not be 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), generate


@intrinsic
def scale_tile(typing: Any, tile: Any, vector: Any) -> Any:
    """A tile with tile[i] * vector for each i."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, vector = arguments
        for i in range(LANES):
            tile = builder.insert_value(tile, builder.fmul(builder.extract_value(tile, i), vector), i)
        return tile

    return TILE(TILE, VECTOR), generate


@intrinsic
def transposed(typing: Any, tile: Any) -> Any:
    """The transposed tile: lane j of vector i becomes lane i of vector j."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = [builder.extract_value(arguments[0], i) for i in range(LANES)]
        for step in (1, 2, 4, 8):  # exchange blocks of step x step lanes across the diagonal
            low = [LANES + i - step if i & step else i for i in range(LANES)]
            high = [LANES + i if i & step else i + step for i in range(LANES)]
            for i in (i for i in range(LANES) if not i & step):
                pair = vectors[i], vectors[i + step]
                for place, mask in ((i, low), (i + step, high)):
                    vectors[place] = builder.shuffle_vector(*pair, ir.Constant(_IR_INT, mask))
        tile = ir.Constant(_IR_TILE, ir.Undefined)
        for i, vector in enumerate(vectors):
            tile = builder.insert_value(tile, vector, i)
        return tile

    return TILE(TILE), generate


@intrinsic
def gather_tile(typing: Any, array: Any, index: Any, stride: Any) -> Any:
    """Load 16 vectors from a flat array (float32, or bfloat16 as int16), each `stride` entries after the one before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, stride = arguments
        tile = ir.Constant(_IR_TILE, ir.Undefined)
        for i in range(LANES):
            tile = builder.insert_value(tile, _load(context, builder, signature.args[0], array, index), i)
            index = builder.add(index, stride)
        return tile

    return TILE(array, types.intp, types.intp), generate


@intrinsic
def scatter_tile(typing: Any, array: Any, index: Any, stride: Any, tile: Any) -> Any:
    """Write 16 vectors into a flat array, rounded as in `store`, each `stride` entries after the one before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, stride, tile = arguments
        for i in range(LANES):
            _store(context, builder, signature.args[0], array, index, builder.extract_value(tile, i))
            index = builder.add(index, stride)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, TILE), generate


def _arithmetic(symbol: Callable[..., Any], instruction: str) -> None:
    """Make `symbol` (operator.add and so on) work on two vectors."""

    @type_callable(symbol)
    def typed(context: Any) -> Callable[..., Any]:
        return lambda a, b: VECTOR if a is VECTOR and b is VECTOR else None

    @lower_builtin(symbol, _Vector, _Vector)
    def lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _arithmetic(_symbol, _instruction)
_arithmetic(operator.truediv, "fdiv")


def _word(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """32 integers of a flat int16 or int32 array from `index` on."""
    element = INT16 if kind.dtype.bitwidth == 16 else INT32
    vector = ir.VectorType(element, WORD)
    return builder.load(_address(context, builder, kind, vector, array, index), align=kind.dtype.bitwidth // 8)


def _comparison(name: str, sign: str) -> Any:
    def compare(typing: Any, array: Any, index: Any, value: Any) -> Any:
        if not _flat(array):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = _word(context, builder, signature.args[0], *arguments[:2])
            value = builder.trunc(arguments[2], vector.type.element)
            bits = builder.icmp_signed(sign, vector, _splat(builder, value, vector.type))
            return builder.bitcast(bits, INT32)

        return types.uint32(array, types.intp, types.int64), generate

    compare.__name__ = name
    compare.__doc__ = f"One bit for each of 32 integers from `index` on: whether it is {sign} `value`."
    return intrinsic(compare)


bits_at_least = _comparison("bits_at_least", ">=")
bits_above = _comparison("bits_above", ">")
bits_equal = _comparison("bits_equal", "==")


@intrinsic
def magnitudes(typing: Any, array: Any, index: Any, out: Any, place: Any) -> Any:
    """Copy 32 integers without their sign bits. If they are the bits of floats, this gives the magnitudes."""
    if not (_flat(array) and _flat(out)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, target = signature.args[0], signature.args[2]
        vector = _word(context, builder, kind, *arguments[:2])
        mask = (1 << (kind.dtype.bitwidth - 1)) - 1
        address = _address(context, builder, target, vector.type, *arguments[2:])
        builder.store(builder.and_(vector, _constant(vector.type, mask)), address, align=kind.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, out, types.intp), generate


@intrinsic
def copy_kept(typing: Any, array: Any, index: Any, word: Any, out: Any, place: Any) -> Any:
    """Copy 32 integers, with zeros for those whose bit in `word` is not set."""
    if not (_flat(array) and _flat(out)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, target = signature.args[0], signature.args[3]
        vector = _word(context, builder, kind, *arguments[:2])
        kept = builder.bitcast(arguments[2], ir.VectorType(ir.IntType(1), WORD))
        address = _address(context, builder, target, vector.type, *arguments[3:])
        value = builder.select(kept, vector, _constant(vector.type, 0))
        builder.store(value, address, align=kind.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint32, out, types.intp), generate


@intrinsic
def count_bits(typing: Any, word: Any) -> Any:
    """The number of bits of a uint32 that are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.ctpop(arguments[0]), ir.IntType(64))

    return types.int64(types.uint32), generate


@intrinsic
def as_float(typing: Any, bits: Any) -> Any:
    """The float32 with these 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.int32), generate


@intrinsic
def as_bits(typing: Any, value: Any) -> Any:
    """The 32 bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], INT32)

    return types.int32(types.float32), generate
