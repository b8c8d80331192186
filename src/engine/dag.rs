//! The dependencies between the actions of a job: order, cycles, depth, and what depends on what.

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use xpipe_base::task::Action;
use xpipe_base::value::ActionId;

/// A directed acyclic graph with a node for each action and an edge from each action to those that depend on it.
pub(crate) struct Dag {
    graph: DiGraph<(), ()>,
    depths: Vec<usize>,
}

impl Dag {
    /// The graph of some actions.
    ///
    /// # Panics
    /// When actions depend on each other in a cycle or on an action that is not there: a defect of whoever made them.
    pub(crate) fn new(actions: &[Action]) -> Self {
        let mut graph = DiGraph::with_capacity(actions.len(), actions.len());
        for _ in actions {
            graph.add_node(());
        }
        for (id, action) in (0u32..).zip(actions) {
            for dep in &action.deps {
                graph.add_edge(node(*dep), node(ActionId(id)), ());
            }
        }
        let order = toposort(&graph, None).unwrap_or_else(|cycle| {
            panic!("BUG: {} depends on itself", actions[cycle.node_id().index()].address)
        });
        let mut depths = vec![0; actions.len()];
        for at in order {
            for next in graph.neighbors(at) {
                depths[next.index()] = depths[next.index()].max(depths[at.index()] + 1);
            }
        }
        Self { graph, depths }
    }

    /// The length of the longest chain of actions that an action depends on.
    pub(crate) fn depth(&self, id: ActionId) -> usize {
        self.depths[id.0 as usize]
    }

    /// The actions that depend on an action directly, in the order of the job.
    pub(crate) fn dependents(&self, id: ActionId) -> Vec<ActionId> {
        let next = self.graph.neighbors_directed(node(id), Direction::Outgoing);
        let mut list: Vec<ActionId> = next.map(|n| ActionId(n.index() as u32)).collect();
        list.sort_unstable_by_key(|id| id.0);
        list
    }
}

fn node(id: ActionId) -> NodeIndex {
    NodeIndex::new(id.0 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(deps: &[&[u32]]) -> Vec<Action> {
        let action = |(i, deps): (usize, &&[u32])| Action {
            op: "test",
            version: 1,
            heavy: false,
            address: format!("a{i}"),
            also: Vec::new(),
            args: Default::default(),
            policy: Default::default(),
            deps: deps.iter().map(|d| ActionId(*d)).collect(),
        };
        deps.iter().enumerate().map(action).collect()
    }

    #[test]
    fn depth_is_the_longest_chain_in_any_order_of_actions() {
        // 3 → 0 → 1 → 2, and 3 → 2: an action may come before what it depends on.
        let dag = Dag::new(&actions(&[&[3], &[0], &[1, 3], &[], &[]]));
        let depths: Vec<usize> = (0..5).map(|i| dag.depth(ActionId(i))).collect();
        assert_eq!(depths, [1, 2, 3, 0, 0]);
        assert_eq!(dag.dependents(ActionId(3)), [ActionId(0), ActionId(2)]);
        assert!(dag.dependents(ActionId(4)).is_empty());
    }

    #[test]
    #[should_panic(expected = "BUG: a")]
    fn a_cycle_is_a_defect() {
        Dag::new(&actions(&[&[1], &[0]]));
    }
}
