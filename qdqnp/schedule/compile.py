"""Compiles a plan for known shapes: forms of steps, boundaries between images and codes, and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from qdqnp.executor.fast.scales import Quantized
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.graph import Sizes
from qdqnp.kernels.tables import UnaryTable
from qdqnp.limits import SCHEDULE_BYTES, SCHEDULE_BYTES_PER_BYTE
from qdqnp.ops.movement.concat import Concat
from qdqnp.quant import Array
from qdqnp.schedule.actions import Action, Compiled, Defined, Entered, Left, Looked, Reshaped
from qdqnp.schedule.addition import of_pairs
from qdqnp.schedule.chain import FormChain
from qdqnp.schedule.choose import Chooser, Convolved, function_with_addition, is_maximum, with_addition
from qdqnp.schedule.form import Banded, Form, floats_of
from qdqnp.schedule.functions import CodeFunction, CodeSource, function_of
from qdqnp.schedule.image import Image
from qdqnp.schedule.joined import Joined, rescale
from qdqnp.schedule.leaving import leaving_floats
from qdqnp.schedule.moved import Move, Taken, moves, reshapes
from qdqnp.schedule.pairs import Added
from qdqnp.schedule.places import places_of
from qdqnp.schedule.planes import Planes
from qdqnp.schedule.schedule import Schedule

#: How many elements convolutions must make for each that is converted between codes and images. Measured; it decides
#: speed only.
WORTH = 0.9


def compile_plan(
    plan: Plan,
    steps: Sequence[BoundStep],
    shapes: Mapping[str, Sizes],
    given: Collection[str],
    wanted: Collection[str],
    fixed: Mapping[str, Array],
    always: bool = False,
    prefer: type[Convolved] | None = None,
) -> Schedule | None:
    """Return the schedule of a plan's steps; None where that would cost more than it gains.

    steps: all of them, or those that are computed for a picture of a batch.
    shapes: of every tensor, for one picture.
    given: the names of the tensors that a run starts from.
    wanted: the names of those that it returns.
    fixed: the tensors that do not depend on the inputs, by name (`fixed_tensors`).
    always: whether a schedule is returned also where conversions cost more than it gains.
    prefer: the form that every convolution takes that has it; None for the fastest.
    """
    for images in (True, False):
        compiler = _Compiler(plan, shapes, frozenset(given), frozenset(wanted), fixed, prefer, images)
        for bound in steps:
            if not all(name in given or name in fixed for name in bound.step.output_names):
                compiler.add(bound)
        if always or compiler.worth():
            return compiler.schedule()
    return None


#: Floats of an image that is worth a chain: smaller ones stay in cache as they are. Measured; it decides speed only.
CHAINED = 64 * 1024


class _Compiler:
    def __init__(
        self,
        plan: Plan,
        shapes: Mapping[str, Sizes],
        given: frozenset[str],
        wanted: frozenset[str],
        fixed: Mapping[str, Array],
        prefer: type[Convolved] | None,
        as_images: bool,
    ) -> None:
        self._wanted = wanted
        self._fixed = fixed
        self._shapes = shapes
        #: Whether steps may take their forms on images.
        self._as_images = as_images
        self._actions: list[Action] = []
        #: Every image by name, and which action makes it.
        self._images: dict[str, Image] = {}
        self._made: dict[str, int] = {}
        #: Tensors that are there as codes.
        self._codes = {*given, *plan.consts, *fixed}
        #: Images that are made in the place of another: by name, that image's name and the first channel there.
        self._inside: dict[str, tuple[str, int]] = {}
        self._users: dict[str, list[BoundStep]] = {}
        for bound in plan.steps:
            for name in bound.step.input_names:
                self._users.setdefault(name, []).append(bound)
        self._readers = {name: len(users) for name, users in self._users.items()}
        #: What is a function of codes, the steps that were not computed yet for that reason, and joined functions.
        self._known: dict[str, CodeFunction] = {}
        self._pending: dict[str, BoundStep] = {}
        self._parts: dict[str, list[tuple[CodeFunction, Image]]] = {}
        constants = sum(array.nbytes for array in plan.consts.values())
        room = max(SCHEDULE_BYTES, SCHEDULE_BYTES_PER_BYTE * constants)
        self._chooser = Chooser(shapes, self._images, room, prefer)

    def add(self, bound: BoundStep) -> None:
        """Add one step."""
        if not self._defer(bound):
            self._compute(bound)
        for name in bound.step.output_names:
            if name in self._wanted:
                self._need(name)
                self._leave(name)

    def _compute(self, bound: BoundStep) -> None:
        """Add what computes a step: on images where it has such a form, else on codes."""
        for name in bound.step.output_names:
            self._pending.pop(name, None)
        for name in bound.step.input_names:
            self._need(name)
        moved = self._chooser.moves(bound) if self._as_images else None
        form = self._chooser.form(bound) if self._as_images and moved is None else None
        if moved is not None:
            self._move(bound.step.label, *moved)
        elif form is not None:
            self._add(form)
        else:
            for name in bound.step.input_names:
                self._leave(name)
            self._actions.append(self._on_codes(bound))
            self._codes.update(bound.step.output_names)

    def _on_codes(self, bound: BoundStep) -> Action:
        """Return what computes a step on codes."""
        (x, *_), (y, *_) = bound.step.input_names or ("",), bound.step.output_names
        shape = reshapes(bound, self._shapes.get(x, ()))
        return Defined(bound) if shape is None else Reshaped(bound.step.label, x, y, shape)

    def _add(self, form: Form) -> None:
        """Add a form, or let the one that makes its input compute it."""
        if isinstance(form, Added) and self._fused(form):
            return
        for image in form.reads:
            self._enter(image)
        if isinstance(form, Joined):
            self._make_in_place(form)
        self._append(form)

    def _defer(self, bound: BoundStep) -> bool:
        """Tell whether a step need not be computed now, as its output is a function of codes that are there."""
        if bound.step.input_names and bound.step.input_names[0] in self._parts:
            self._join(bound, self._parts[bound.step.input_names[0]])
            return True
        found = function_of(bound, self._known, self._shapes, self._readers)
        if found is None:
            return self._as_images and (self._defer_moves(bound) or self._defer_pool(bound) or self._defer_join(bound))
        images = [self._image_of(source) for source in found.sources]
        pair = len(found.sources) == 2
        if pair and None in images:
            return False
        (name,) = bound.step.output_names
        self._known[name], self._pending[name] = found, bound
        if pair and found.quant is not None:
            self._need(name)
        return True

    def _need(self, name: str) -> None:
        """Compute a tensor that was not computed yet."""
        bound = self._pending.pop(name, None)
        if bound is None:
            return
        function = self._known[name]
        if function.quant is None:
            self._compute(bound)
            return
        label, answers = bound.step.label, function.everything()
        images = [image for source in function.sources if (image := self._image_of(source)) is not None]
        if not images:
            (source,) = function.sources
            self._leave(source.name)
            self._actions.append(Looked(label, source.name, name, UnaryTable(answers.tobytes(), answers.dtype)))
            self._codes.add(name)
            return
        made = Image.of(name, self._shapes[name], function.quant)
        first, *others = function.sources
        if not others:
            self._add(Joined(label, images, made, [rescale(first.quant, function.quant, answers)]))
            return
        for source in function.sources:
            self._readers[source.name] = source.readers
        addition = of_pairs((first.quant, others[0].quant, function.quant), answers)
        self._add(Added(label, images[0], images[1], made, addition))

    def _image_of(self, source: CodeSource) -> Image | None:
        """Return the image of a source; None where it is none, or is read with another zero point."""
        there = self._images.get(source.name)
        if there is None or (there.dtype, there.zero_point) != (source.quant.dtype, int(source.quant.zero_point)):
            return None
        return there

    def _function_of_image(self, name: str) -> tuple[CodeFunction, Image] | None:
        """Return a tensor that is a function of one image, and the image."""
        function = self._known.get(name)
        if function is None or function.quant is not None or len(function.sources) > 1:
            return None
        image = self._image_of(function.sources[0])
        return None if image is None else (function, image)

    def _defer_moves(self, bound: BoundStep) -> bool:
        """Move the image in place of a function of it."""
        found = self._function_of_image(bound.step.input_names[0]) if bound.step.input_names else None
        moved = None if found is None else moves(bound, found[1])
        if found is None or moved is None:
            return False
        for name, move in zip(bound.step.output_names, moved, strict=True):
            output = replace(move.output, name=f"codes of {name}")
            self._move(bound.step.label, found[1], [replace(move, output=output)])
            self._know(name, bound, found[0], output)
        return True

    def _defer_pool(self, bound: BoundStep) -> bool:
        """Take the maximum of the image in place of a function of it that rises with the code."""
        found = self._function_of_image(bound.step.input_names[0]) if bound.step.input_names else None
        if found is None or not is_maximum(bound) or not found[0].rises():
            return False
        (name,) = bound.step.output_names
        form = self._chooser.maxima(bound, found[1], f"codes of {name}")
        if form is None:
            return False
        self._append(form)
        self._know(name, bound, found[0], form.output)
        return True

    def _know(self, name: str, bound: BoundStep, function: CodeFunction, image: Image) -> None:
        """Note that a tensor is what a function makes of another image than its own source."""
        source = replace(function.sources[0], name=image.name, readers=2)
        self._known[name], self._pending[name] = replace(function, bound=bound, sources=(source,)), bound

    def _defer_join(self, bound: BoundStep) -> bool:
        """Leave functions of images apart that are joined along the channels and then quantized."""
        parts = [self._function_of_image(name) for name in bound.step.input_names]
        name, found = bound.step.output_names[0], [part for part in parts if part is not None]
        quantized = all(isinstance(user.kernel, Quantized) for user in self._users.get(name, ()))
        if not isinstance(bound.operator, Concat) or len(found) < len(parts) or not quantized or name in self._wanted:
            return False
        if sum(image.channels for _, image in found) != self._shapes[name][1]:  # joined along another axis
            return False
        self._parts[name] = found
        return True

    def _join(self, bound: BoundStep, parts: Sequence[tuple[CodeFunction, Image]]) -> None:
        """Quantize functions of images, and join what that makes."""
        (name,), y = bound.step.output_names, bound.step.y
        rescales = [rescale(part.sources[0].quant, y, part.then(bound).everything()) for part, _ in parts]
        made = Image.of(name, self._shapes[name], y)
        self._add(Joined(bound.step.label, [image for _, image in parts], made, rescales))

    def _move(self, label: str, x: Image, moved: Sequence[Move]) -> None:
        """Let parts of an image be images where they are, and take the rows and columns of others."""
        for move in moved:
            name = move.output.name
            if move.is_part(x):
                self._images[name], self._made[name] = move.output, self._made[x.name]
                self._inside[name] = (x.name, move.first)
            else:
                self._append(Taken(label, x, move))

    def _append(self, form: Form) -> None:
        self._images[form.output.name] = form.output
        self._made[form.output.name] = len(self._actions)
        self._actions.append(Compiled(form))

    def _leave(self, name: str) -> None:
        """Make codes of an image where there are none."""
        if name not in self._codes:
            self._actions.append(Left(self._images[name], self._known_in(name)))
            self._codes.add(name)

    def _known_in(self, name: str) -> Mapping[str, tuple[int, int]]:
        """Return the parts of a joined image whose codes are there and the same in it, with their channels."""
        whole, found = self._images[name], {}
        inside = sorted((first, part) for part, (owner, first) in self._inside.items() if owner == name)
        for first, part in inside:
            image = self._images[part]
            if part in self._codes and image.alike(whole):
                found[part] = first, first + image.channels
        return found

    def _enter(self, image: Image) -> None:
        """Make an image of codes where there is none."""
        if image.name not in self._images:
            self._images[image.name] = image
            self._made[image.name] = len(self._actions)
            self._actions.append(Entered(image))

    def _fused(self, added: Added) -> bool:
        """Let the step that made one operand compute the addition, if it alone reads that and can have the other."""
        for mine, other in (added.inputs, added.inputs[::-1]):
            at, before = self._made.get(mine, -1), self._made.get(other, -1)
            if not 0 <= before < at:
                continue
            action = self._actions[at]
            alone = self._readers[mine] == 1 and mine not in self._codes
            if alone and isinstance(action, Compiled) and action.form.output.name == mine:
                form = _with_addition(action.form, added)
                if form is not None:
                    self._actions[at] = Compiled(form)
                    del self._images[mine], self._made[mine]
                    self._images[added.output.name] = added.output
                    self._made[added.output.name] = at
                    return True
        return False

    def _make_in_place(self, joined: Joined) -> None:
        """Let those who make parts of a joined image write them there."""
        for name, first in joined.unchanged():
            if name not in self._inside and joined.inputs.count(name) == 1:
                self._inside[name] = (joined.output.name, first)
                joined.in_place.add(name)

    def _chain(self) -> None:
        """Join forms whose large images nothing else reads, so that these are made and read band by band."""
        forms = [action.form if isinstance(action, Compiled) else None for action in self._actions]
        makers = {form.output.name: at for at, form in enumerate(forms) if isinstance(form, Banded)}
        readers = Counter(name for form in forms if form is not None for name in form.inputs)
        shared = {*(owner for owner, _ in self._inside.values()), *self._codes}
        chains: dict[int, list[int]] = {}
        for at, form in enumerate(forms):
            if isinstance(form, Banded) and not form.codes:
                image = form.reads[0]
                alone = readers[image.name] == 1 and image.name in makers and image.name not in shared
                if alone and image.size >= CHAINED:
                    maker = makers[image.name]
                    chains[at] = [*chains.pop(maker, [maker]), at]
        for at, members in chains.items():
            joined = [form for form in (forms[member] for member in members) if isinstance(form, Banded)]
            for form in joined[:-1]:
                del self._images[form.output.name]
            self._actions[at] = Compiled(FormChain(joined))
        gone = {member for members in chains.values() for member in members[:-1]}
        self._actions = [action for at, action in enumerate(self._actions) if at not in gone]

    def _read_reals(self) -> None:
        """Let convolutions read real values in place of the codes that nothing else reads."""
        readers = Counter(name for action in self._actions for name in action.codes)
        makers = {action.fresh: action for action in self._actions if isinstance(action, Defined)}
        gone: list[Action] = []
        for at, action in enumerate(self._actions):
            maker = makers.get(action.codes)
            if maker is None or not isinstance(action, Compiled) or not isinstance(action.form, Planes):
                continue
            form = action.form.of_reals(maker.bound)
            if form is not None and readers[form.layer.x.name] == 1 and form.layer.x.name not in self._wanted:
                self._actions[at] = Compiled(form)
                gone.append(maker)
        self._actions = [action for action in self._actions if action not in gone]

    def schedule(self) -> Schedule:
        self._read_reals()
        self._chain()
        places, floats = places_of(self._actions, self._images, self._inside)
        computed = [action.form for action in self._actions if isinstance(action, Compiled)]
        left = [leaving_floats(action.image) for action in self._actions if isinstance(action, Left)]
        work = max([*map(floats_of, computed), *left], default=0)
        return Schedule(self._actions, places, floats, work, self._wanted, self._fixed)

    def worth(self) -> bool:
        """Tell whether less is converted than convolutions make; what is wanted becomes codes in any case.

        Without images, whether a step became a table.
        """
        if not self._as_images:
            return any(isinstance(action, Looked) for action in self._actions)
        boundaries = [action.image for action in self._actions if isinstance(action, Entered | Left)]
        converted = sum(image.size for image in boundaries if image.name not in self._wanted)
        forms = [action.form for action in self._actions if isinstance(action, Compiled)]
        made = sum(form.output.size for form in forms if isinstance(form, Convolved))
        return made > WORTH * converted


def _with_addition(form: Form, added: Added) -> Form | None:
    """Return a form that also computes an addition that reads its output; None where it cannot."""
    if isinstance(form, Convolved):
        return with_addition(form, added) if form.layer.shortcut is None else None
    return function_with_addition(form, added) if isinstance(form, Joined) else None
