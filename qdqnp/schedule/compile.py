"""Compiles a plan for known shapes: forms of steps, boundaries between images and codes, and memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.graph import Sizes
from qdqnp.limits import SCHEDULE_BYTES, SCHEDULE_BYTES_PER_BYTE
from qdqnp.quant import Array
from qdqnp.schedule.arena import Span, offsets, rounded
from qdqnp.schedule.chain import Chain
from qdqnp.schedule.choose import Chooser, Convolved, function_with_addition, with_addition
from qdqnp.schedule.form import Banded, Form
from qdqnp.schedule.image import Image
from qdqnp.schedule.joined import Joined
from qdqnp.schedule.moved import Move, Taken
from qdqnp.schedule.pairs import Added
from qdqnp.schedule.planes import Planes
from qdqnp.schedule.schedule import Action, ArenaPlace, Compiled, Defined, Entered, Left, Schedule

#: How many elements convolutions must make for each that is converted between codes and images. Measured; it decides
#: speed only.
WORTH = 2


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
    compiler = _Compiler(plan, shapes, frozenset(given), frozenset(wanted), fixed, prefer)
    for bound in steps:
        if not all(name in given or name in fixed for name in bound.step.output_names):
            compiler.add(bound)
    return compiler.schedule() if always or compiler.worth() else None


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
    ) -> None:
        self._wanted = wanted
        self._fixed = fixed
        self._actions: list[Action] = []
        #: Every image by name, and which action makes it.
        self._images: dict[str, Image] = {}
        self._made: dict[str, int] = {}
        #: Tensors that are there as codes.
        self._codes = {*given, *plan.consts, *fixed}
        #: Images that are made in the place of another: by name, that image's name and the first channel there.
        self._inside: dict[str, tuple[str, int]] = {}
        self._readers: dict[str, int] = {}
        for bound in plan.steps:
            for name in bound.step.input_names:
                self._readers[name] = self._readers.get(name, 0) + 1
        constants = sum(array.nbytes for array in plan.consts.values())
        room = max(SCHEDULE_BYTES, SCHEDULE_BYTES_PER_BYTE * constants)
        self._chooser = Chooser(shapes, self._images, room, prefer)

    def add(self, bound: BoundStep) -> None:
        """Add one step."""
        moved = self._chooser.moves(bound)
        if moved is not None:
            self._move(bound.step.label, *moved)
            return
        form = self._chooser.form(bound)
        if form is None:
            for name in bound.step.input_names:
                self._leave(name)
            self._actions.append(Defined(bound))
            self._codes.update(bound.step.output_names)
            return
        if not (isinstance(form, Added) and self._fused(form)):
            if isinstance(form, Planes):
                self._leave(form.layer.x.name)
            for image in form.reads:
                self._enter(image)
            if isinstance(form, Joined):
                self._make_in_place(form)
            self._append(form)
        if form.output.name in self._wanted:
            self._leave(form.output.name)

    def _move(self, label: str, x: Image, moved: Sequence[Move]) -> None:
        """Let parts of an image be images where they are, and take the rows and columns of others."""
        for move in moved:
            name = move.output.name
            if move.is_part(x):
                self._images[name], self._made[name] = move.output, self._made[x.name]
                self._inside[name] = (x.name, move.first)
            else:
                self._append(Taken(label, x, move))
            if name in self._wanted:
                self._leave(name)

    def _append(self, form: Form) -> None:
        self._images[form.output.name] = form.output
        self._made[form.output.name] = len(self._actions)
        self._actions.append(Compiled(form))

    def _leave(self, name: str) -> None:
        """Make codes of an image where there are none."""
        if name not in self._codes:
            self._actions.append(Left(self._images[name]))
            self._codes.add(name)

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
            if not 0 <= before < at or mine == other:
                continue
            action = self._actions[at]
            alone = self._readers[mine] == 1 and mine not in self._wanted and mine not in self._codes
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
        shared = {*self._inside, *(owner for owner, _ in self._inside.values()), *self._codes}
        chains: dict[int, list[int]] = {}
        for at, form in enumerate(forms):
            if isinstance(form, Banded) and not form.codes:
                image = form.reads[0]
                alone = self._readers[image.name] == 1 and image.name in makers and image.name not in shared
                if alone and image.size >= CHAINED:
                    maker = makers[image.name]
                    chains[at] = [*chains.pop(maker, [maker]), at]
        for at, members in chains.items():
            joined = [form for form in (forms[member] for member in members) if isinstance(form, Banded)]
            for form in joined[:-1]:
                del self._images[form.output.name]
            self._actions[at] = Compiled(Chain(joined))
        gone = {member for members in chains.values() for member in members[:-1]}
        self._actions = [action for at, action in enumerate(self._actions) if at not in gone]

    def schedule(self) -> Schedule:
        self._chain()
        computed = [action.form for action in self._actions if isinstance(action, Compiled)]
        owners = {name: self._owner(name) for name in self._images}
        borders = dict.fromkeys(self._images, (0, 0))
        for form in computed:
            if form.borders != (0, 0):
                owner, _ = owners[form.inputs[0]]
                borders[owner] = tuple(map(max, borders[owner], form.borders))  # type: ignore[assignment]
        spans = self._spans(owners, borders)
        starts, floats = offsets(spans)
        places = {}
        for name, (owner, channel) in owners.items():
            above, below = borders[owner]
            places[name] = ArenaPlace(
                self._images[name], starts[owner], self._images[owner].channels, channel, above, below
            )
        work = max((sum(map(rounded, form.work)) for form in computed), default=0)
        return Schedule(self._actions, places, floats, work, self._wanted, self._fixed)

    def worth(self) -> bool:
        """Tell whether less is converted than convolutions make; what is wanted becomes codes in any case."""
        boundaries = [action.image for action in self._actions if isinstance(action, Entered | Left)]
        converted = sum(image.size for image in boundaries if image.name not in self._wanted)
        forms = [action.form for action in self._actions if isinstance(action, Compiled)]
        made = sum(form.output.size for form in forms if isinstance(form, Convolved))
        return made > WORTH * converted

    def _owner(self, name: str) -> tuple[str, int]:
        """Return in whose memory an image lies, and its first channel there."""
        channel = 0
        while name in self._inside:
            name, first = self._inside[name]
            channel += first
        return name, channel

    def _spans(self, owners: Mapping[str, tuple[str, int]], borders: Mapping[str, tuple[int, int]]) -> list[Span]:
        """Return which memory is needed from where to where."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for at, action in enumerate(self._actions):
            for name in action.images:
                owner, _ = owners[name]
                first.setdefault(owner, at)
                last[owner] = at
        found = []
        for owner in first:
            image = self._images[owner]
            rows = image.height + sum(borders[owner])
            found.append(Span(owner, rows * image.width * image.channels, first[owner], last[owner]))
        return found


def _with_addition(form: Form, added: Added) -> Form | None:
    """Return a form that also computes an addition that reads its output; None where it cannot."""
    if isinstance(form, Convolved):
        return with_addition(form, added) if form.layer.shortcut is None else None
    return function_with_addition(form, added) if isinstance(form, Joined) else None
