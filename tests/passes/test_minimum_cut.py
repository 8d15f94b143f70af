from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from panmodel.passes.minimum_cut import UNCUT, Network

SOURCE, SINK = 0, 1


@st.composite
def problems(draw):
    """Vertices between a source and a sink, with nets of some of them that cost if they are cut."""
    count = draw(st.integers(2, 7))
    member_sets = st.lists(st.integers(0, count - 1), min_size=2, max_size=5, unique=True)
    return count, draw(st.lists(st.tuples(member_sets, st.integers(0, 9)), max_size=8))


def cost(nets, sink_side):
    return sum(weight for members, weight in nets if len({vertex in sink_side for vertex in members}) == 2)


@given(problems())
def test_no_cut_is_cheaper(problem):
    count, nets = problem
    network = Network()
    for _ in range(count):
        network.vertex()
    for members, weight in nets:
        network.net(members, weight)
    found = {vertex for vertex in network.sink_side(SOURCE, SINK) if vertex < count}
    assert SINK in found and SOURCE not in found
    every = [
        {SINK, *(vertex for vertex, side in enumerate(sides, 2) if side)} for sides in product((0, 1), repeat=count - 2)
    ]
    least = min(cost(nets, side) for side in every)
    assert cost(nets, found) == least
    # of all the best cuts it is the one with the fewest vertices on the sink's side
    assert all(found <= side for side in every if cost(nets, side) == least)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9)), max_size=14))
def test_directed_edges(edges):
    network = Network()
    for _ in range(6):
        network.vertex()
    for tail, head, capacity in edges:
        network.edge(tail, head, capacity)
    found = network.sink_side(SOURCE, SINK)

    def cut(side):
        return sum(capacity for tail, head, capacity in edges if tail not in side and head in side)

    every = [{SINK, *(v for v, s in enumerate(sides, 2) if s)} for sides in product((0, 1), repeat=4)]
    assert cut(found) == min(map(cut, every))


def test_an_uncut_edge_holds():
    network = Network()
    source, sink, middle = (network.vertex() for _ in range(3))
    network.edge(source, middle, 5)
    network.edge(middle, sink, UNCUT)
    assert network.sink_side(source, sink) == {sink, middle}
