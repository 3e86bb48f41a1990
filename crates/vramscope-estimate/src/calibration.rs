//! Measured sizes, read from one table.

use std::sync::OnceLock;

/// A measured size with the range in which it is expected elsewhere, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// The usual size.
    pub value: u64,
    /// The least that is expected.
    pub low: u64,
    /// The most that is expected.
    pub high: u64,
    /// Where it is from.
    pub source: String,
}

/// All measured sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calibration {
    /// What a process holds on a device before the engine's first snapshot.
    pub context: Constant,
    /// What grows outside the framework's allocator until the profile run is over, as recorded.
    pub non_torch: Constant,
    /// The same on other cards and releases.
    pub non_torch_other: Constant,
    /// What profiling graphs adds to it.
    pub non_torch_graphs: Constant,
    /// What further tensor-parallel ranks add to it on each device.
    pub non_torch_ranks: Constant,
    /// The same in place of `non_torch` where stages of a pipeline have one rank each.
    pub non_torch_pipeline: Constant,
    /// What the driver keeps of one graph of a piece between two mixers of dense layers.
    pub graph_piece: Constant,
    /// What it keeps of a dense layer in a graph of a whole step.
    pub graph_layer: Constant,
    /// The first runner's own estimate of its graphs, per size.
    pub graphs_v1_estimate: Constant,
    /// What grows outside the allocator in engines that count all that is gone from the device.
    pub non_torch_consumed: Constant,
    /// What the allocator holds in reserve beyond its tensors after the profile run.
    pub allocator_slack: Constant,
}

/// A table that is not one of constants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// A row does not have its five columns.
    #[error("read the calibration: line {line} is not name, value, low, high and source")]
    Row {
        /// The line, counted from 1.
        line: usize,
    },
    /// A name is not there.
    #[error("read the calibration: no row for `{name}`")]
    Missing {
        /// The name.
        name: &'static str,
    },
}

const EMBEDDED: &str = include_str!("../data/calibration.tsv");

impl Calibration {
    /// The table that comes with this crate.
    ///
    /// ```
    /// let table = vramscope_estimate::Calibration::embedded();
    /// assert!(table.context.source.contains("H200"));
    /// ```
    pub fn embedded() -> &'static Self {
        static TABLE: OnceLock<Calibration> = OnceLock::new();
        TABLE.get_or_init(|| Self::read(EMBEDDED).expect("the embedded table is read by a test"))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`CalibrationError`] names the line or the row that is absent.
    pub fn read(text: &str) -> Result<Self, CalibrationError> {
        let mut rows: Vec<(&str, Constant)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            rows.push(row(line).ok_or(CalibrationError::Row { line: index + 1 })?);
        }
        let get = |name: &'static str| {
            let found = rows.iter().find(|(row, _)| *row == name).map(|(_, constant)| constant.clone());
            found.ok_or(CalibrationError::Missing { name })
        };
        Ok(Self {
            context: get("context")?,
            non_torch: get("non_torch")?,
            non_torch_other: get("non_torch_other")?,
            non_torch_graphs: get("non_torch_graphs")?,
            non_torch_ranks: get("non_torch_ranks")?,
            non_torch_pipeline: get("non_torch_pipeline")?,
            graph_piece: get("graph_piece")?,
            graph_layer: get("graph_layer")?,
            graphs_v1_estimate: get("graphs_v1_estimate")?,
            non_torch_consumed: get("non_torch_consumed")?,
            allocator_slack: get("allocator_slack")?,
        })
    }

    /// The table as text, as [`Calibration::read`] reads it, with the embedded table's remarks.
    pub fn to_text(&self) -> String {
        let mut text: String =
            EMBEDDED.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
        for (name, constant) in self.rows() {
            let Constant { value, low, high, source } = constant;
            text.push_str(&format!("{name}\t{value}\t{low}\t{high}\t{source}\n"));
        }
        text
    }

    /// The rows with their names, in the table's order.
    pub fn rows(&self) -> [(&'static str, &Constant); 11] {
        [
            ("context", &self.context),
            ("non_torch", &self.non_torch),
            ("non_torch_other", &self.non_torch_other),
            ("non_torch_graphs", &self.non_torch_graphs),
            ("non_torch_ranks", &self.non_torch_ranks),
            ("non_torch_pipeline", &self.non_torch_pipeline),
            ("graph_piece", &self.graph_piece),
            ("graph_layer", &self.graph_layer),
            ("graphs_v1_estimate", &self.graphs_v1_estimate),
            ("non_torch_consumed", &self.non_torch_consumed),
            ("allocator_slack", &self.allocator_slack),
        ]
    }
}

fn row(line: &str) -> Option<(&str, Constant)> {
    let mut columns = line.split('\t');
    let name = columns.next()?;
    let mut number = || columns.next()?.parse::<u64>().ok();
    let (value, low, high) = (number()?, number()?, number()?);
    let source = columns.next().filter(|source| !source.is_empty())?.to_owned();
    (low <= value && value <= high).then_some((name, Constant { value, low, high, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let table = Calibration::embedded();
        assert_eq!(Calibration::read(&table.to_text()).as_ref(), Ok(table));
    }

    #[test]
    fn the_embedded_table_is_whole() {
        let table = Calibration::read(EMBEDDED).unwrap();
        assert!(table.rows().iter().all(|(_, constant)| constant.low <= constant.value));
    }

    #[test]
    fn a_row_without_a_source_is_refused() {
        assert_eq!(Calibration::read("context\t1\t1\t1\t"), Err(CalibrationError::Row { line: 1 }));
        assert_eq!(Calibration::read("context\t1\t2\t3\tx"), Err(CalibrationError::Row { line: 1 }));
        assert_eq!(Calibration::read("# none\n"), Err(CalibrationError::Missing { name: "context" }));
    }
}
