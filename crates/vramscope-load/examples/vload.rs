//! URL MODEL CONCURRENCY REQUESTS INPUT OUTPUT WARMUP
use vramscope_load::{Arrival, Client, LoadPlan, run};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n = |i: usize| a[i].parse::<u64>().unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let client = Client::new(&a[1], None).unwrap();
        let plan = LoadPlan {
            arrival: Arrival::Concurrency(n(3)),
            warmup_requests: n(7),
            ..LoadPlan::new(&a[2], n(5), n(6), n(4))
        };
        let report = run(&client, &plan, &mut |_| {}).await.unwrap();
        report.write_serve_json(std::io::BufWriter::with_capacity(1 << 20, std::io::stdout())).unwrap();
        eprintln!("{:?}", report.health);
    });
}
