//! Layered graph drawing by Sugiyama's method: layers from top to bottom, few crossings, edges around boxes.
//!
//! Back edges are set aside, transitive edges left out. Layers are longest paths, dummy nodes stand for edges that pass a
//! layer, the order is by barycentres, and x coordinates are means of the neighbours'. Deterministic; ties keep the order
//! given.

/// Distance between the boxes of a layer.
const GAP: f64 = 18.0;
/// Width of an edge where it passes a layer.
const PASS: f64 = 6.0;
/// Number of sweeps of ordering and of placing.
const SWEEPS: usize = 16;

/// A laid-out drawing.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By box: its layer, and the x coordinate of its middle.
    pub(super) boxes: Vec<(usize, f64)>,
    /// Edges with an x coordinate in every layer from the upper box to the lower.
    pub(super) edges: Vec<Edge>,
    /// Number of layers.
    pub(super) layers: usize,
    /// Width of the drawing.
    pub(super) width: f64,
}

/// An edge that is drawn.
#[derive(Debug)]
pub(super) struct Edge {
    /// The first box's layer, then the middle in each layer that it goes through.
    pub(super) path: Vec<(usize, f64)>,
    /// Whether it points upwards: part of a cycle of rows.
    pub(super) back: bool,
}

/// Lays out boxes of the widths given.
pub(super) fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let n = widths.len();
    let (forward, back) = without_cycles(n, edges);
    let forward = reduced(n, &forward);
    let layer = layered(n, &forward);
    let layers = layer.iter().map(|l| l + 1).max().unwrap_or(0);

    // Nodes are the boxes and then the dummy nodes of edges.
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); layers];
    let mut room: Vec<f64> = widths.to_vec();
    (0..n).for_each(|i| rows[layer[i]].push(i));
    let (mut above, mut below): (Vec<Vec<usize>>, Vec<Vec<usize>>) =
        (vec![Vec::new(); n], vec![Vec::new(); n]);
    let mut chains = Vec::new();
    let down = forward.iter().map(|e| (*e, false)).chain(back.iter().map(|(a, b)| ((*b, *a), true)));
    for ((from, to), is_back) in down {
        if layer[from] >= layer[to] {
            continue;
        }
        let mut chain = vec![from];
        for row in rows.iter_mut().take(layer[to]).skip(layer[from] + 1) {
            room.push(PASS);
            above.push(Vec::new());
            below.push(Vec::new());
            row.push(room.len() - 1);
            chain.push(room.len() - 1);
        }
        chain.push(to);
        for pair in chain.windows(2) {
            below[pair[0]].push(pair[1]);
            above[pair[1]].push(pair[0]);
        }
        chains.push((chain, layer[from], is_back));
    }
    order(&mut rows, &above, &below);
    let middle = places(&rows, &room, &above, &below);
    let left = (0..room.len()).map(|i| middle[i] - room[i] / 2.0).fold(f64::INFINITY, f64::min);
    let left = if left.is_finite() { left } else { 0.0 };
    let right = (0..room.len()).map(|i| middle[i] + room[i] / 2.0).fold(left, f64::max);
    Layout {
        boxes: (0..n).map(|i| (layer[i], middle[i] - left)).collect(),
        edges: chains
            .into_iter()
            .map(|(chain, first, back)| Edge {
                path: chain.iter().enumerate().map(|(k, i)| (first + k, middle[*i] - left)).collect(),
                back,
            })
            .collect(),
        layers,
        width: right - left,
    }
}

type Edges = Vec<(usize, usize)>;

/// Edges that make no cycle, and those that close one.
fn without_cycles(n: usize, edges: &[(usize, usize)]) -> (Edges, Edges) {
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); n];
    edges.iter().for_each(|(from, to)| after[*from].push(*to));
    let (mut state, mut back) = (vec![0u8; n], Vec::new());
    for start in 0..n {
        let mut stack = vec![(start, 0)];
        while let Some((node, next)) = stack.pop() {
            if next == 0 {
                if state[node] != 0 {
                    continue;
                }
                state[node] = 1;
            }
            match after[node].get(next) {
                Some(to) => {
                    stack.push((node, next + 1));
                    match state[*to] {
                        0 => stack.push((*to, 0)),
                        1 => back.push((node, *to)),
                        _ => {}
                    }
                }
                None => state[node] = 2,
            }
        }
    }
    (edges.iter().copied().filter(|e| !back.contains(e)).collect(), back)
}

/// Topological order of the nodes.
fn topological(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let (mut waits, mut after) = (vec![0usize; n], vec![Vec::new(); n]);
    for (from, to) in edges {
        waits[*to] += 1;
        after[*from].push(*to);
    }
    let mut order: Vec<usize> = (0..n).filter(|i| waits[*i] == 0).collect();
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        for to in &after[node] {
            waits[*to] -= 1;
            if waits[*to] == 0 {
                order.push(*to);
            }
        }
    }
    order
}

/// Transitive reduction.
fn reduced(n: usize, edges: &[(usize, usize)]) -> Edges {
    let words = n.div_ceil(64);
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); n];
    edges.iter().for_each(|(from, to)| after[*from].push(*to));
    // By node: what can be reached from it, itself included.
    let mut reach = vec![vec![0u64; words]; n];
    for node in topological(n, edges).into_iter().rev() {
        let mut own = vec![0u64; words];
        own[node / 64] |= 1 << (node % 64);
        for to in &after[node] {
            own.iter_mut().zip(&reach[*to]).for_each(|(a, b)| *a |= b);
        }
        reach[node] = own;
    }
    let reaches = |from: usize, to: usize| reach[from][to / 64] >> (to % 64) & 1 == 1;
    let follows = |(from, to): (usize, usize)| after[from].iter().any(|via| *via != to && reaches(*via, to));
    edges.iter().copied().filter(|e| !follows(*e)).collect()
}

/// The layer of each node: below all that it comes from, and sources right above what they are for.
fn layered(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let order = topological(n, edges);
    let (mut before, mut after) = (vec![Vec::new(); n], vec![Vec::new(); n]);
    for (from, to) in edges {
        before[*to].push(*from);
        after[*from].push(*to);
    }
    let mut layer = vec![0usize; n];
    for node in &order {
        layer[*node] = before[*node].iter().map(|b| layer[*b] + 1).max().unwrap_or(0);
    }
    for node in order {
        if before[node].is_empty()
            && let Some(first) = after[node].iter().map(|a| layer[*a]).min()
        {
            layer[node] = first - 1;
        }
    }
    layer
}

/// Orders every layer by the barycentres of its neighbours, keeping the order with the fewest crossings.
fn order(rows: &mut [Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>]) {
    let mut best = (crossings(rows, below), rows.to_vec());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let neighbours = if down { above } else { below };
        let mut place = vec![0.0; above.len()];
        let layers: Vec<usize> =
            if down { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for layer in layers {
            let row = &mut rows[layer];
            let mut keyed: Vec<(f64, usize)> = row
                .iter()
                .enumerate()
                .map(|(i, node)| {
                    let near = &neighbours[*node];
                    let sum: f64 = near.iter().map(|o| place[*o]).sum();
                    (if near.is_empty() { i as f64 } else { sum / near.len() as f64 }, *node)
                })
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *row = keyed.into_iter().map(|(_, node)| node).collect();
            row.iter().enumerate().for_each(|(i, node)| place[*node] = i as f64);
        }
        let crossed = crossings(rows, below);
        if crossed < best.0 {
            best = (crossed, rows.to_vec());
        }
    }
    rows.clone_from_slice(&best.1);
}

fn crossings(rows: &[Vec<usize>], below: &[Vec<usize>]) -> usize {
    let mut place = vec![0usize; below.len()];
    rows.iter().for_each(|row| row.iter().enumerate().for_each(|(i, node)| place[*node] = i));
    let mut n = 0;
    for row in rows {
        let ends: Vec<(usize, usize)> =
            row.iter().flat_map(|node| below[*node].iter().map(|b| (place[*node], place[*b]))).collect();
        for (i, a) in ends.iter().enumerate() {
            n +=
                ends[i + 1..].iter().filter(|b| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1)).count();
        }
    }
    n
}

/// The middle of every node: near the mean of its neighbours, in the order of its layer, without overlap.
fn places(rows: &[Vec<usize>], room: &[f64], above: &[Vec<usize>], below: &[Vec<usize>]) -> Vec<f64> {
    let mut middle = vec![0.0; room.len()];
    for row in rows {
        let mut x = 0.0;
        for node in row {
            middle[*node] = x + room[*node] / 2.0;
            x += room[*node] + GAP;
        }
        row.iter().for_each(|node| middle[*node] -= x / 2.0);
    }
    for sweep in 0..SWEEPS {
        let neighbours = if sweep % 2 == 0 { above } else { below };
        let order: Vec<&Vec<usize>> =
            if sweep % 2 == 0 { rows.iter().collect() } else { rows.iter().rev().collect() };
        for row in order {
            let wish: Vec<f64> = row
                .iter()
                .map(|node| {
                    let near = &neighbours[*node];
                    if near.is_empty() {
                        middle[*node]
                    } else {
                        near.iter().map(|o| middle[*o]).sum::<f64>() / near.len() as f64
                    }
                })
                .collect();
            let sizes: Vec<f64> = row.iter().map(|node| room[*node] + GAP).collect();
            for (node, x) in row.iter().zip(apart(&wish, &sizes)) {
                middle[*node] = x;
            }
        }
    }
    middle
}

/// The places nearest to the wishes (in squares) with the order kept and room between: blocks that collide move as
/// one (pooled adjacent violators).
fn apart(wish: &[f64], sizes: &[f64]) -> Vec<f64> {
    // A block: how many, the sum of their wishes less their offsets, the place of its first.
    let mut blocks: Vec<(usize, f64)> = Vec::new();
    let mut offset = vec![0.0; wish.len()];
    for i in 1..wish.len() {
        offset[i] = offset[i - 1] + (sizes[i - 1] + sizes[i]) / 2.0;
    }
    for (w, o) in wish.iter().zip(&offset) {
        blocks.push((1, w - o));
        while let [.., (m, a), (n, b)] = blocks.as_slice()
            && a / *m as f64 > b / *n as f64
        {
            let joined = (m + n, a + b);
            blocks.truncate(blocks.len() - 2);
            blocks.push(joined);
        }
    }
    let starts = blocks.iter().flat_map(|(n, sum)| std::iter::repeat_n(sum / *n as f64, *n));
    starts.zip(&offset).map(|(start, o)| start + o).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_below_what_they_come_from_and_do_not_touch() {
        // A diamond with a shortcut that follows from it, and a long edge.
        let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (5, 4), (1, 6), (4, 6)];
        let widths = [60.0, 80.0, 100.0, 60.0, 60.0, 70.0, 50.0];
        let l = layout(&widths, &edges);
        let layer: Vec<usize> = l.boxes.iter().map(|b| b.0).collect();
        assert_eq!(layer, [0, 1, 1, 2, 3, 2, 4]);
        assert_eq!((l.layers, l.edges.len()), (5, 7), "0 → 3 and 1 → 6 follow from others");
        for (i, a) in l.boxes.iter().enumerate() {
            for (j, b) in l.boxes.iter().enumerate().filter(|(j, b)| *j > i && b.0 == a.0) {
                assert!((a.1 - b.1).abs() >= (widths[i] + widths[j]) / 2.0 + GAP - 1e-9, "{i} and {j}");
            }
            assert!(a.1 - widths[i] / 2.0 >= -1e-9 && a.1 + widths[i] / 2.0 <= l.width + 1e-9);
        }
    }

    #[test]
    fn cycles_of_rows_are_drawn_back() {
        let l = layout(&[10.0; 3], &[(0, 1), (1, 2), (2, 0)]);
        assert_eq!(l.boxes.iter().map(|b| b.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(l.edges.iter().filter(|e| e.back).count(), 1);
        assert!(layout(&[], &[]).edges.is_empty());
    }

    #[test]
    fn wishes_are_met_in_order() {
        assert_eq!(apart(&[0.0, 10.0], &[4.0, 4.0]), [0.0, 10.0]);
        assert_eq!(apart(&[5.0, 5.0], &[4.0, 4.0]), [3.0, 7.0]);
        assert_eq!(apart(&[9.0, 0.0, 0.0], &[2.0, 2.0, 2.0]), [1.0, 3.0, 5.0]);
    }
}
