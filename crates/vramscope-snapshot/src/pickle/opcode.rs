//! The opcodes of pickles.

/// What an opcode does. Those that make or call objects are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Stop,
    Proto,
    Frame,
    Mark,
    Pop,
    PopMark,
    Dup,
    None,
    True,
    False,
    Int1,
    Int2,
    Int4,
    Long1,
    Long4,
    Float,
    /// A text, whose length takes so many bytes.
    Text {
        width: usize,
    },
    /// Bytes, likewise.
    Bytes {
        width: usize,
    },
    EmptyList,
    EmptyDict,
    EmptyTuple,
    Append,
    Appends,
    SetItem,
    SetItems,
    List,
    Dict,
    Tuple,
    TupleOf {
        length: usize,
    },
    Memoize,
    Put {
        width: usize,
    },
    Get {
        width: usize,
    },
    /// Its name, and how many lines of text follow.
    Refused {
        name: &'static str,
        lines: usize,
    },
}

impl Op {
    /// The opcode of a byte.
    pub(super) fn of(byte: u8) -> Option<Self> {
        let refused = |name, lines| Self::Refused { name, lines };
        Some(match byte {
            b'.' => Self::Stop,
            0x80 => Self::Proto,
            0x95 => Self::Frame,
            b'(' => Self::Mark,
            b'0' => Self::Pop,
            b'1' => Self::PopMark,
            b'2' => Self::Dup,
            b'N' => Self::None,
            0x88 => Self::True,
            0x89 => Self::False,
            b'K' => Self::Int1,
            b'M' => Self::Int2,
            b'J' => Self::Int4,
            0x8a => Self::Long1,
            0x8b => Self::Long4,
            b'G' => Self::Float,
            0x8c => Self::Text { width: 1 },
            b'X' => Self::Text { width: 4 },
            0x8d => Self::Text { width: 8 },
            // Texts of Python 2 by way of C++.
            b'U' => Self::Text { width: 1 },
            b'T' => Self::Text { width: 4 },
            b'C' => Self::Bytes { width: 1 },
            b'B' => Self::Bytes { width: 4 },
            0x8e | 0x96 => Self::Bytes { width: 8 },
            b']' => Self::EmptyList,
            b'}' => Self::EmptyDict,
            b')' => Self::EmptyTuple,
            b'a' => Self::Append,
            b'e' => Self::Appends,
            b's' => Self::SetItem,
            b'u' => Self::SetItems,
            b'l' => Self::List,
            b'd' => Self::Dict,
            b't' => Self::Tuple,
            0x85 => Self::TupleOf { length: 1 },
            0x86 => Self::TupleOf { length: 2 },
            0x87 => Self::TupleOf { length: 3 },
            0x94 => Self::Memoize,
            b'q' => Self::Put { width: 1 },
            b'r' => Self::Put { width: 4 },
            b'h' => Self::Get { width: 1 },
            b'j' => Self::Get { width: 4 },
            b'c' => refused("GLOBAL", 2),
            b'i' => refused("INST", 2),
            0x93 => refused("STACK_GLOBAL", 0),
            b'R' => refused("REDUCE", 0),
            b'b' => refused("BUILD", 0),
            b'o' => refused("OBJ", 0),
            0x81 => refused("NEWOBJ", 0),
            0x92 => refused("NEWOBJ_EX", 0),
            0x82 => refused("EXT1", 0),
            0x83 => refused("EXT2", 0),
            0x84 => refused("EXT4", 0),
            b'P' => refused("PERSID", 1),
            b'Q' => refused("BINPERSID", 0),
            0x97 => refused("NEXT_BUFFER", 0),
            0x98 => refused("READONLY_BUFFER", 0),
            0x8f => refused("EMPTY_SET", 0),
            0x90 => refused("ADDITEMS", 0),
            0x91 => refused("FROZENSET", 0),
            // Numbers and texts as lines, which protocol 0 writes alone.
            b'I' => refused("INT", 0),
            b'L' => refused("LONG", 0),
            b'F' => refused("FLOAT", 0),
            b'S' => refused("STRING", 0),
            b'V' => refused("UNICODE", 0),
            b'p' => refused("PUT", 0),
            b'g' => refused("GET", 0),
            _ => return None,
        })
    }
}
