"""The tree of categories, read in one query: paths, ancestors, what lies below."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.urls import reverse

from catalog.models import Category


@dataclass(slots=True)
class Node:
    """One category at its place in the tree."""

    category: Category
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.category.name

    @property
    def trail(self) -> list["Node"]:
        """The nodes from the root down to this one."""
        above = self.parent.trail if self.parent else []
        return [*above, self]

    @property
    def path(self) -> str:
        return "/".join(node.category.slug for node in self.trail)

    @property
    def url(self) -> str:
        return reverse("catalog:category", args=[self.path])

    def below(self) -> Iterator["Node"]:
        """This node and everything under it."""
        yield self
        for child in self.children:
            yield from child.below()

    @property
    def pks(self) -> list[int]:
        return [node.category.pk for node in self.below()]


@dataclass(slots=True)
class Tree:
    """The roots in their order, and every node by slug or primary key."""

    roots: list[Node]

    def __iter__(self) -> Iterator[Node]:
        for root in self.roots:
            yield from root.below()

    def find(self, slug: str) -> Node | None:
        return next((node for node in self if node.category.slug == slug), None)

    def of(self, pk: int | None) -> Node | None:
        return next((node for node in self if node.category.pk == pk), None)


def tree() -> Tree:
    """All categories in their order; one query."""
    children: dict[int | None, list[Category]] = {}
    for category in Category.objects.all():
        children.setdefault(category.parent_id, []).append(category)

    def grow(parent: Node | None) -> list[Node]:
        nodes = []
        for category in children.get(parent.category.pk if parent else None, []):
            node = Node(category, parent)
            node.children = grow(node)
            nodes.append(node)
        return nodes

    return Tree(grow(None))
