//! The constants of the model of time, read from one table.

use std::sync::OnceLock;

const EMBEDDED: &str = include_str!("../../../data/time.tsv");

/// A fitted constant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TimeConstant {
    /// Its name in the table.
    pub name: String,
    /// The fitted value.
    pub value: f64,
    /// The least and the most that it was over fits in which one model each was left out; the value alone where it was
    /// not fitted.
    pub range: (f64, f64),
    /// Its unit.
    pub unit: String,
    /// What it was fitted on, or where it is from.
    pub source: String,
}

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All of them, by name.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct TimeConstants {
            $($(#[$doc])* pub $name: f64,)*
            rows: Vec<TimeConstant>,
        }

        impl TimeConstants {
            fn of(rows: Vec<TimeConstant>) -> Option<Self> {
                let get = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.value);
                Some(Self { $($name: get(stringify!($name))?,)* rows })
            }
        }
    };
}

constants! {
    /// Share of the copy rate at which 16-bit weights are read.
    read_plain,
    /// The same of weights of 8 bits.
    read_byte,
    /// The same of weights of 4 bits that are integers (AWQ, GPTQ).
    read_packed,
    /// The same of weights of 4-bit floats.
    read_float4,
    /// The same of routed experts, beside what their format has.
    read_experts,
    /// Share of the matrix rate that products of 16 bits reach.
    multiply,
    /// The rate of products of 8 bits beside those of 16.
    multiply_byte,
    /// Share of the matrix rate that attention's products reach.
    attend,
    /// Share of the copy rate at which the KV cache is read.
    read_cache,
    /// A kernel in a graph: start, ramp and end. Unit: seconds.
    kernel,
    /// What a step takes on the device beside its layers: sampling, inputs, the gap to the next. Unit: seconds.
    step,
    /// What the host takes for a step. Unit: seconds.
    host,
    /// What it takes more for each sequence. Unit: seconds.
    host_sequence,
    /// What it takes to start a kernel that is in no graph. Unit: seconds.
    host_launch,
    /// What a prompt takes beside its tokens. Unit: seconds.
    prompt,
    /// What a batch takes beside its steps. Unit: seconds.
    batch,
    /// What a server takes to hand a request to the engine and its first token back. Unit: seconds.
    request,
    /// What a client takes from one request to the next, where it sends several. Unit: seconds.
    send,
    /// A sum over two ranks, of few bytes. Unit: seconds.
    sum_ranks,
    /// What it takes more for each further rank. Unit: seconds.
    sum_further,
    /// Share of the link's rate that a large sum reaches.
    link,
}

impl TimeConstants {
    /// The table that comes with this crate.
    pub fn embedded() -> &'static Self {
        static TABLE: OnceLock<TimeConstants> = OnceLock::new();
        TABLE.get_or_init(|| Self::read(EMBEDDED).expect("the embedded table is read by a test"))
    }

    /// Reads a table; `None` where a row is damaged or a constant is not there.
    fn read(text: &str) -> Option<Self> {
        let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        Self::of(rows.map(row).collect::<Option<Vec<_>>>()?)
    }

    /// The rows of the table, in its order.
    pub fn rows(&self) -> &[TimeConstant] {
        &self.rows
    }
}

fn row(line: &str) -> Option<TimeConstant> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [name, value, low, high, unit, source] = columns[..] else { return None };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    let (value, low, high) = (number(value)?, number(low)?, number(high)?);
    let whole = low <= value && value <= high && !source.is_empty();
    whole.then(|| TimeConstant {
        name: name.to_owned(),
        value,
        range: (low, high),
        unit: unit.to_owned(),
        source: source.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_is_whole_and_a_damaged_one_is_refused() {
        let table = TimeConstants::read(EMBEDDED).unwrap();
        assert_eq!(table.rows().len(), EMBEDDED.lines().filter(|line| !line.starts_with('#')).count());
        assert_eq!(TimeConstants::read("kernel\t1\t1\t1\ts\tx"), None, "the others are not there");
        assert_eq!(row("kernel\t1\t2\t3\ts\tx"), None);
        assert_eq!(row("kernel\t1\t1\t1\ts\t"), None);
    }
}
