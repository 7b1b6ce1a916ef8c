"""Which items are ready, waiting, done or out of reach: the executor's bookkeeping, without Ray."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable

from pipeline.work import WorkItem


class Tracker:
    """Hands out items whose inputs exist. Every change costs O(number of items it touches)."""

    def __init__(self, items: Iterable[WorkItem]) -> None:
        self._items = {item.key: item for item in items}
        self._ready: dict[str, deque[str]] = defaultdict(deque)
        self._missing: dict[str, int] = {}
        self._dependants: dict[str, list[str]] = defaultdict(list)
        self._waiting: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self.total: Counter[str] = Counter(item.stage for item in self._items.values())
        for item in self._items.values():
            missing = [key for key in item.inputs.values() if key in self._items]
            self._missing[item.key] = len(missing)
            for key in missing:
                self._dependants[key].append(item.key)
            if missing:
                self._waiting[item.stage] += 1
            else:
                self._ready[item.stage].append(item.key)

    def ready(self, stage: str) -> int:
        return len(self._ready[stage])

    def waiting(self, stage: str) -> int:
        """Items of a stage whose inputs are still being made."""
        return self._waiting[stage]

    def stages(self) -> tuple[str, ...]:
        return tuple(self.total)

    def take(self, stage: str) -> WorkItem:
        """The next ready item of a stage, now in the caller's hands."""
        return self._items[self._ready[stage].popleft()]

    def give_back(self, item: WorkItem) -> None:
        """Returns an item that was lost through no fault of its own; it is handed out next."""
        self._ready[item.stage].appendleft(item.key)

    def done(self, item: WorkItem) -> None:
        """Records an item as made; what waited for it alone becomes ready."""
        for key in self._dependants.pop(item.key, ()):
            self._missing[key] -= 1
            if self._missing[key] == 0:
                dependant = self._items[key]
                self._waiting[dependant.stage] -= 1
                self._ready[dependant.stage].append(key)

    def failed(self, item: WorkItem, attempts: int) -> bool:
        """Records a failed try. Returns True when the tries are used up; what depends on the item is then dropped."""
        self._attempts[item.key] += 1
        if self._attempts[item.key] < attempts:
            self._ready[item.stage].append(item.key)  # at the end: neighbours first
            return False
        self._drop_dependants(item.key)
        return True

    def drop_stage(self, stage: str) -> list[WorkItem]:
        """Takes back all ready items of a stage that cannot run at all; what depends on them is dropped too."""
        dropped = [self._items[key] for key in self._ready.pop(stage, ())]
        for item in dropped:
            self._drop_dependants(item.key)
        return dropped

    def attempts(self, item: WorkItem) -> int:
        return self._attempts[item.key]

    def unfinished(self) -> bool:
        """Whether any item is ready (items in the caller's hands are the caller's to know)."""
        return any(self._ready.values())

    def _drop_dependants(self, key: str) -> None:
        for dependant in self._dependants.pop(key, ()):
            if self._missing[dependant] > 0:
                self._waiting[self._items[dependant].stage] -= 1
                self._missing[dependant] = -1  # never ready again, whatever else arrives
            self._drop_dependants(dependant)
