//! The two forms of the rows of requests hold the same.

use std::fs::File;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value, json};
use standin_openai::{Fail, How, Script, Server};
use vramscope_load::document::RequestsParquet;
use vramscope_load::{Arrival, Client, LoadPlan, Slo, Spacing, run};

fn value(field: &Field) -> Value {
    match field {
        Field::Long(n) => json!(n),
        Field::Double(x) => json!(x),
        Field::Bool(is) => json!(is),
        Field::Str(text) => json!(text),
        Field::Null => Value::Null,
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => panic!("{other:?}"),
    }
}

/// A row as its line of JSON has it.
fn line(row: &Row) -> Value {
    let (mut line, mut level) = (Map::new(), Map::new());
    for (name, field) in row.get_column_iter().filter(|(_, field)| **field != Field::Null) {
        let of = if ["concurrency", "rate_per_s", "trace_speed", "repeat"].contains(&name.as_str()) {
            &mut level
        } else {
            &mut line
        };
        of.insert(name.clone(), value(field));
    }
    line.insert("level".into(), level.into());
    line.into()
}

#[tokio::test]
async fn a_parquet_file_has_the_rows_of_the_lines_of_json() {
    let fail = vec![Fail { every: 5, how: How::Status(503) }, Fail { every: 7, how: How::InStream }];
    let server = Server::start(Script { fail, adapters: vec!["a".into()], ..Script::default() }).unwrap();
    let client = Client::new(&server.url(), None).unwrap();
    let mut rows = RequestsParquet::new(tempfile::tempfile().unwrap()).unwrap();
    let mut lines = Vec::new();
    let rate = Arrival::Rate { per_s: 500.0, spacing: Spacing::Poisson, max_in_flight: None };
    let mix = "standin=1,a=1".parse().unwrap();
    for (plan, level) in [
        (
            LoadPlan { arrival: Arrival::Concurrency(4), ..LoadPlan::new("standin", 8, 5, 40) },
            json!({"concurrency": 4, "repeat": 1}),
        ),
        (
            LoadPlan {
                arrival: rate,
                mix,
                slo: Slo { ttft: Some(std::time::Duration::from_secs(9)), ..Slo::default() },
                ..LoadPlan::new("standin", 8, 5, 30)
            },
            json!({"rate_per_s": 500.0, "repeat": 2}),
        ),
    ] {
        let report = run(&client, &plan, &mut |_| {}).await.unwrap();
        assert!(report.summary().failed > 3, "rows of every kind");
        report.write_requests(&level, &mut lines).unwrap();
        rows.add(&report, &level).unwrap();
    }
    let file: File = rows.finish().unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let read: Vec<Value> = reader.get_row_iter(None).unwrap().map(|row| line(&row.unwrap())).collect();
    let text = String::from_utf8(lines).unwrap();
    let expected: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), 70);
    for (read, expected) in read.iter().zip(&expected) {
        // Both through text: to read a number from it may change its last digit.
        assert_eq!(serde_json::from_str::<Value>(&read.to_string()).unwrap(), *expected);
    }
    // Each column has a unit.
    let meta = reader.metadata().file_metadata();
    let layout = meta.key_value_metadata().unwrap().iter().find(|one| one.key == "vramscope_load_requests").unwrap();
    let layout: Value = serde_json::from_str(layout.value.as_ref().unwrap()).unwrap();
    for column in meta.schema().get_fields() {
        assert!(layout["units"][column.name()].is_string(), "{}", column.name());
    }
}
