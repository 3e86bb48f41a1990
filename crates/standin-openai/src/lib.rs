//! A server with the API of OpenAI that answers on a schedule and knows when it wrote what. See the README.
//!
//! ```
//! use standin_openai::{Script, Server};
//! let server = Server::start(Script { ttft_ms: vec![50.0], gap_ms: vec![20.0], ..Script::default() }).unwrap();
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! assert!(server.truth().requests.is_empty());
//! ```

mod answer;
mod connection;
mod engine;
mod flight;
mod page;
mod realtime;
mod script;
mod server;
mod serving;
mod truth;

pub use engine::Engine;
pub use page::{Counts, metrics_page, models_page, version_page};
pub use realtime::real_time;
pub use script::{Capacity, Done, Fail, How, Linear, Said, Script, Stall, UsageAt};
pub use server::{Server, serve};
pub use truth::{RequestTruth, Truth};
