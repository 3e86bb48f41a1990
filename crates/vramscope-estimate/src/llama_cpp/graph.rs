//! A computation graph: tensors with their shapes and the order in which they are computed.
//!
//! Follows ggml (`ggml.c`): operators, views, `ggml_build_forward_expand`. Only what decides sizes and lifetimes is kept.

use super::kind::Kind;

/// A tensor of the graph, by its number.
pub(crate) type Id = usize;

/// What computes a tensor, as far as it decides where it is computed and whether it may overwrite a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// A leaf: a weight, a cache, an input.
    None,
    /// Another look at the same bytes.
    View,
    /// The same bytes with other sides.
    Reshape,
    /// The same bytes with sides exchanged.
    Permute,
    /// A norm, without its weight.
    RmsNorm,
    /// A product of each element.
    Mul,
    /// A sum of each element.
    Add,
    /// A sum with the biases of chosen experts.
    AddId,
    /// A quotient of each element.
    Div,
    /// A function of each element.
    Each,
    /// Each element within limits.
    Clamp,
    /// Shares that sum to one.
    SoftMax,
    /// An order of elements.
    ArgSort,
    /// Sums of rows.
    SumRows,
    /// Rows of a matrix by their numbers.
    GetRows,
    /// Rows put into a cache; a view of it.
    SetRows,
    /// A product with a matrix.
    MulMat,
    /// A product with the matrices of chosen experts.
    MulMatId,
    /// Positions turned into rotations; may overwrite its source.
    Rope,
    /// Attention in one operator.
    FlashAttention,
    /// Anything else.
    Other,
}

impl Op {
    pub(crate) fn may_overwrite(self) -> bool {
        matches!(
            self,
            Self::RmsNorm
                | Self::Mul
                | Self::Add
                | Self::AddId
                | Self::Div
                | Self::Each
                | Self::Clamp
                | Self::SoftMax
                | Self::Rope
        )
    }

    /// It computes nothing and shows the bytes of another tensor.
    pub(crate) fn shows(self) -> bool {
        matches!(self, Self::View | Self::Reshape | Self::Permute)
    }
}

/// Where the bytes of a tensor lie that the graph does not allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    /// The backend's number; the last one is the host.
    pub(crate) backend: usize,
    /// It is a weight, which decides where operators run.
    pub(crate) weight: bool,
    /// Its layout is another one that only the host's own operators read.
    pub(crate) repacked: bool,
}

/// A tensor.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) op: Op,
    pub(crate) kind: Kind,
    /// Elements on each side.
    pub(crate) ne: [u64; 4],
    /// Bytes from one element to the next on each side.
    pub(crate) nb: [u64; 4],
    pub(crate) sources: Vec<Id>,
    /// The tensor whose bytes it shows, and where in it.
    pub(crate) view: Option<(Id, u64)>,
    pub(crate) input: bool,
    pub(crate) output: bool,
    pub(crate) home: Option<Home>,
    /// What a device puts behind its bytes while it computes it; the host needs nothing there.
    pub(crate) behind: u64,
}

impl Tensor {
    pub(crate) fn elements(&self) -> u64 {
        self.ne.iter().fold(1, |product, side| product.saturating_mul(*side))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.ne[1..].iter().fold(1, |product, side| product.saturating_mul(*side))
    }

    /// Bytes from the first element to the last (`ggml_nbytes`).
    pub(crate) fn bytes(&self) -> u64 {
        if self.ne.contains(&0) {
            return 0;
        }
        let (first, rest) = if self.kind.block == 1 {
            (self.kind.bytes, 0)
        } else {
            (self.ne[0].saturating_mul(self.nb[0]) / self.kind.block, 1)
        };
        (rest..4).fold(first, |sum, side| sum.saturating_add((self.ne[side] - 1).saturating_mul(self.nb[side])))
    }

    /// What it takes of a buffer, of the host's or of a device's.
    pub(crate) fn taken(&self, on_device: bool) -> u64 {
        if on_device { self.bytes().saturating_add(self.behind) } else { self.bytes() }
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        let mut next = self.kind.bytes;
        (0..4).all(|side| {
            let fits = self.ne[side] == 1 || self.nb[side] == next;
            next = if side == 0 { self.kind.row(self.ne[0]) } else { next.saturating_mul(self.ne[side]) };
            fits
        })
    }

    pub(crate) fn same_layout(&self, other: &Self) -> bool {
        self.kind == other.kind && self.ne == other.ne && self.nb == other.nb
    }
}

/// Bytes from one element to the next, without gaps.
fn strides(kind: Kind, ne: [u64; 4]) -> [u64; 4] {
    let row = kind.row(ne[0]);
    let second = row.saturating_mul(ne[1]);
    [kind.bytes, row, second, second.saturating_mul(ne[2])]
}

/// A graph that is being built.
#[derive(Debug, Default, Clone)]
pub(crate) struct Graph {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) nodes: Vec<Id>,
    pub(crate) leafs: Vec<Id>,
    visited: Vec<bool>,
}

impl Graph {
    pub(crate) fn at(&self, id: Id) -> &Tensor {
        &self.tensors[id]
    }

    /// The tensor whose bytes a tensor shows: itself, where it is no view.
    pub(crate) fn root(&self, id: Id) -> Id {
        self.tensors[id].view.map_or(id, |(source, _)| source)
    }

    pub(crate) fn push(&mut self, tensor: Tensor) -> Id {
        self.tensors.push(tensor);
        self.visited.push(false);
        self.tensors.len() - 1
    }

    /// A new tensor without gaps.
    pub(crate) fn new_tensor(&mut self, op: Op, kind: Kind, ne: [u64; 4], sources: &[Id]) -> Id {
        let nb = strides(kind, ne);
        let sources = sources.to_vec();
        self.push(Tensor { op, kind, ne, nb, sources, view: None, input: false, output: false, home: None, behind: 0 })
    }

    /// What is given to the graph before each computation.
    pub(crate) fn input(&mut self, kind: Kind, ne: [u64; 4]) -> Id {
        let id = self.new_tensor(Op::None, kind, ne, &[]);
        self.tensors[id].input = true;
        id
    }

    /// What lies somewhere before the graph is computed.
    pub(crate) fn placed(&mut self, kind: Kind, ne: [u64; 4], home: Home) -> Id {
        let id = self.new_tensor(Op::None, kind, ne, &[]);
        self.tensors[id].home = Some(home);
        id
    }

    fn shown(&mut self, op: Op, of: Id, ne: [u64; 4], nb: [u64; 4], offset: u64, sources: Vec<Id>) -> Id {
        let (root, base) = self.tensors[of].view.unwrap_or((of, 0));
        let (kind, home) = (self.tensors[of].kind, self.tensors[root].home);
        let view = Some((root, base.saturating_add(offset)));
        self.push(Tensor { op, kind, ne, nb, sources, view, input: false, output: false, home, behind: 0 })
    }

    pub(crate) fn view(&mut self, of: Id, ne: [u64; 4], nb: [u64; 4], offset: u64) -> Id {
        self.shown(Op::View, of, ne, nb, offset, vec![of])
    }

    pub(crate) fn reshape(&mut self, of: Id, ne: [u64; 4]) -> Id {
        let nb = strides(self.tensors[of].kind, ne);
        self.shown(Op::Reshape, of, ne, nb, 0, vec![of])
    }

    /// Side `i` becomes side `to[i]`.
    pub(crate) fn permute(&mut self, of: Id, to: [usize; 4]) -> Id {
        let (mut ne, mut nb) = ([0; 4], [0; 4]);
        for (side, place) in to.into_iter().enumerate() {
            ne[place] = self.tensors[of].ne[side];
            nb[place] = self.tensors[of].nb[side];
        }
        self.shown(Op::Permute, of, ne, nb, 0, vec![of])
    }

    /// A tensor of the same shape, computed of it and others.
    pub(crate) fn like(&mut self, op: Op, of: Id, others: &[Id]) -> Id {
        let sources: Vec<Id> = std::iter::once(of).chain(others.iter().copied()).collect();
        let (kind, ne) = (self.tensors[of].kind, self.tensors[of].ne);
        self.new_tensor(op, kind, ne, &sources)
    }

    pub(crate) fn add(&mut self, a: Id, b: Id) -> Id {
        self.like(Op::Add, a, &[b])
    }

    pub(crate) fn mul(&mut self, a: Id, b: Id) -> Id {
        self.like(Op::Mul, a, &[b])
    }

    /// A scale or a function of each element.
    pub(crate) fn each(&mut self, of: Id) -> Id {
        self.like(Op::Each, of, &[])
    }

    pub(crate) fn cont(&mut self, of: Id, ne: [u64; 4]) -> Id {
        let kind = self.tensors[of].kind;
        self.new_tensor(Op::Other, kind, ne, &[of])
    }

    pub(crate) fn mul_mat(&mut self, a: Id, b: Id) -> Id {
        let (left, right) = (self.tensors[a].ne, self.tensors[b].ne);
        self.new_tensor(Op::MulMat, Kind::F32, [left[1], right[1], right[2], right[3]], &[a, b])
    }

    pub(crate) fn mul_mat_id(&mut self, matrices: Id, b: Id, chosen: Id) -> Id {
        let (rows, used) = (self.tensors[matrices].ne[1], self.tensors[chosen].ne[0]);
        let tokens = self.tensors[b].ne[2];
        self.new_tensor(Op::MulMatId, Kind::F32, [rows, used, tokens, 1], &[matrices, b, chosen])
    }

    pub(crate) fn get_rows(&mut self, a: Id, rows: Id) -> Id {
        let (of, by) = (self.tensors[a].ne, self.tensors[rows].ne);
        self.new_tensor(Op::GetRows, Kind::F32, [of[0], by[0], by[1], by[2]], &[a, rows])
    }

    pub(crate) fn set_rows(&mut self, cache: Id, values: Id, rows: Id) -> Id {
        let (ne, nb) = (self.tensors[cache].ne, self.tensors[cache].nb);
        self.shown(Op::SetRows, cache, ne, nb, 0, vec![values, rows, cache])
    }

    /// What is computed into the bytes that a view shows: a copy, or a function in place.
    pub(crate) fn written(&mut self, into: Id, sources: &[Id]) -> Id {
        let (ne, nb) = (self.tensors[into].ne, self.tensors[into].nb);
        self.shown(Op::Other, into, ne, nb, 0, sources.to_vec())
    }

    /// Puts a tensor into the order of computation, behind what it needs.
    pub(crate) fn expand(&mut self, id: Id) {
        if std::mem::replace(&mut self.visited[id], true) {
            return;
        }
        for source in self.tensors[id].sources.clone() {
            self.expand(source);
        }
        if self.tensors[id].op == Op::None { self.leafs.push(id) } else { self.nodes.push(id) }
    }

    /// A tensor of the same shape and strides, without a place.
    pub(crate) fn copy_of(&mut self, id: Id) -> Id {
        let Tensor { kind, ne, nb, .. } = self.tensors[id];
        self.push(Tensor {
            op: Op::None,
            kind,
            ne,
            nb,
            sources: Vec::new(),
            view: None,
            input: false,
            output: false,
            home: None,
            behind: 0,
        })
    }

    /// A look at tensors that keeps them from being freed before this point of the order.
    pub(crate) fn keep(&mut self, ids: &[Id]) -> Id {
        let (ne, nb) = (self.tensors[ids[0]].ne, self.tensors[ids[0]].nb);
        self.shown(Op::None, ids[0], ne, nb, 0, ids.to_vec())
    }
}
