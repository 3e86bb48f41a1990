//! Makes a page of documents, or shows one of no runs as Markdown where none is named: `cargo run -p vramscope-report --example page -- [--markdown] FILE… > page.html`.

use std::io::Write as _;

use vramscope_report::{Document, page};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (options, files): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word == "--markdown");
    let read = |file: &String| -> Result<Document, Box<dyn std::error::Error>> {
        Ok(Document::read(file.as_str(), &std::fs::read(file)?)?)
    };
    if files.is_empty() {
        let none = Document::read("runs.json", br#"{"vramscope_runs": 1, "runs": [], "series": []}"#)?;
        std::io::stdout().write_all(page(&[none], None)?.markdown().as_bytes())?;
        return Ok(());
    }
    let documents = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let page = page(&documents, None)?;
    let text = if options.is_empty() { page.html() } else { page.markdown() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
