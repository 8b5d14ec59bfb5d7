//! A skip list: keys in order, each found by key or by rank, in about `log n` steps however many there are.
//!
//! After W. Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees" (1990), with the widths of "A Skip List
//! Cookbook" (1990): every link knows how many keys it jumps over, which is what a page needs ("from the 900,000th
//! on") and what a `BTreeMap` can't answer. Nodes live in one arena and link by index.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;

/// No node: the end of a level, or the head that stands before all nodes.
const NONE: u32 = u32::MAX;
/// Levels at most: a node reaches the next level once in four times, so this is enough for 4^16 keys.
const LEVELS: usize = 16;

/// A link to the next node of a level.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    /// Keys from this node to the next; at a level's last, to the place behind the last key.
    width: u32,
}

#[derive(Debug)]
struct Node<K, V> {
    /// `None` while the node waits to be used again.
    item: Option<(K, V)>,
    previous: u32,
    /// One a level.
    links: Box<[Link]>,
}

/// The way to a key: on each level the last node before it, and that node's number (the head's is 0).
type Path = [(u32, usize); LEVELS];

/// See the module.
#[derive(Debug)]
pub(crate) struct SkipList<K, V> {
    nodes: Vec<Node<K, V>>,
    free: Vec<u32>,
    /// The head's links, one a level in use.
    head: Vec<Link>,
    last: u32,
    len: usize,
    /// Where heights come from (xorshift).
    random: u64,
    #[cfg(test)]
    steps: std::cell::Cell<usize>,
}

impl<K: Ord, V> SkipList<K, V> {
    /// An empty list, which owns no memory beside itself.
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            head: Vec::new(),
            last: NONE,
            len: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            #[cfg(test)]
            steps: std::cell::Cell::new(0),
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is such a key.
    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    /// How many keys come before this one, whether it is there or not.
    pub(crate) fn rank<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.path(|other| other < key)[0].1
    }

    /// How many keys come before this one, itself included if it is there.
    pub(crate) fn rank_behind<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.path(|other| other <= key)[0].1
    }

    /// Puts a value; answers the one that the key had before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let path = self.path::<K>(|other| *other < key);
        let found = self.link(path[0].0, 0).map_or(NONE, |link| link.next);
        if let Some((_, old)) = self.item_mut(found).filter(|(other, _)| *other == key) {
            return Some(std::mem::replace(old, value));
        }
        let height = self.draw_height();
        while self.head.len() < height {
            self.head.push(Link { next: NONE, width: width(self.len + 1) });
        }
        let number = path[0].1 + 1;
        let place = self.take_node();
        let mut links = Vec::with_capacity(height);
        for (level, &(before, at)) in path.iter().enumerate().take(self.head.len()) {
            let link = self.link_mut(before, level);
            if level < height {
                links.push(Link { next: link.next, width: link.width + 1 - width(number - at) });
                *link = Link { next: place, width: width(number - at) };
            } else {
                link.width += 1;
            }
        }
        let next = links[0].next;
        self.nodes[place as usize] = Node { item: Some((key, value)), previous: path[0].0, links: links.into() };
        self.set_previous(next, place);
        self.len += 1;
        None
    }

    /// Takes a key out.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let path = self.path(|other| other < key);
        let place = self.link(path[0].0, 0)?.next;
        self.item(place).filter(|(other, _)| other.borrow() == key)?;
        for (level, &(before, _)) in path.iter().enumerate().take(self.head.len()) {
            let gone = self.nodes[place as usize].links.get(level).copied();
            let link = self.link_mut(before, level);
            match gone {
                Some(gone) => *link = Link { next: gone.next, width: link.width + gone.width - 1 },
                None => link.width -= 1,
            }
        }
        while self.head.last().is_some_and(|link| link.next == NONE) {
            self.head.pop();
        }
        let node = &mut self.nodes[place as usize];
        let item = node.item.take();
        let next = std::mem::take(&mut node.links)[0].next;
        self.set_previous(next, path[0].0);
        self.len -= 1;
        if self.len == 0 {
            self.nodes = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(place);
        }
        item.map(|(_, value)| value)
    }

    /// Keys and values from a rank on, in order.
    pub(crate) fn from(&self, rank: usize) -> impl Iterator<Item = (&K, &V)> {
        let mut at = self.nth(rank);
        std::iter::from_fn(move || {
            let (key, value) = self.item(at)?;
            self.count_step();
            at = self.nodes[at as usize].links[0].next;
            Some((key, value))
        })
    }

    /// Keys and values before a rank, from the last of them backwards.
    pub(crate) fn before(&self, rank: usize) -> impl Iterator<Item = (&K, &V)> {
        let mut at = match rank {
            0 => NONE,
            rank if rank >= self.len => self.last,
            rank => self.nth(rank - 1),
        };
        std::iter::from_fn(move || {
            let (key, value) = self.item(at)?;
            self.count_step();
            at = self.nodes[at as usize].previous;
            Some((key, value))
        })
    }

    /// All values, in the order of their keys.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.from(0).map(|(_, value)| value)
    }

    /// The node with a rank.
    fn nth(&self, rank: usize) -> u32 {
        let (mut at, mut number) = (NONE, 0);
        for level in (0..self.head.len()).rev() {
            while let Some(link) = self.link(at, level).filter(|link| link.next != NONE) {
                if number + link.width as usize > rank + 1 {
                    break;
                }
                self.count_step();
                number += link.width as usize;
                at = link.next;
            }
        }
        if number == rank + 1 { at } else { NONE }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
    {
        let path = self.path(|other| other < key);
        let next = self.link(path[0].0, 0)?.next;
        self.item(next).filter(|(other, _)| other.borrow() == key).map(|_| next)
    }

    /// The last node on each level whose key, like all before it, is `before` what is looked for.
    fn path<Q: Ord + ?Sized>(&self, before: impl Fn(&Q) -> bool) -> Path
    where
        K: Borrow<Q>,
    {
        let mut path = [(NONE, 0); LEVELS];
        let (mut at, mut number) = (NONE, 0);
        for level in (0..self.head.len()).rev() {
            while let Some(link) = self.link(at, level) {
                self.count_step();
                match self.item(link.next) {
                    Some((key, _)) if before(key.borrow()) => {
                        number += link.width as usize;
                        at = link.next;
                    }
                    _ => break,
                }
            }
            path[level] = (at, number);
        }
        path
    }

    fn link(&self, node: u32, level: usize) -> Option<Link> {
        match node {
            NONE => self.head.get(level).copied(),
            node => self.nodes[node as usize].links.get(level).copied(),
        }
    }

    fn link_mut(&mut self, node: u32, level: usize) -> &mut Link {
        match node {
            NONE => &mut self.head[level],
            node => &mut self.nodes[node as usize].links[level],
        }
    }

    fn item(&self, node: u32) -> Option<&(K, V)> {
        self.nodes.get(node as usize)?.item.as_ref()
    }

    fn item_mut(&mut self, node: u32) -> Option<&mut (K, V)> {
        self.nodes.get_mut(node as usize)?.item.as_mut()
    }

    fn set_previous(&mut self, node: u32, previous: u32) {
        match node {
            NONE => self.last = previous,
            node => self.nodes[node as usize].previous = previous,
        }
    }

    /// A node that nobody uses.
    fn take_node(&mut self) -> u32 {
        if let Some(node) = self.free.pop() {
            return node;
        }
        self.nodes.push(Node { item: None, previous: NONE, links: Box::default() });
        u32::try_from(self.nodes.len() - 1).expect("memory ends before four billion nodes do")
    }

    fn draw_height(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (1 + self.random.trailing_zeros() as usize / 2).min(LEVELS)
    }

    #[cfg(test)]
    fn count_step(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "counts in tests only")]
    fn count_step(&self) {}

    /// Steps that were taken since the last question.
    #[cfg(test)]
    pub(crate) fn take_steps(&self) -> usize {
        self.steps.take()
    }
}

/// A number of keys as a link keeps it.
fn width(keys: usize) -> u32 {
    u32::try_from(keys).expect("memory ends before four billion keys do")
}
