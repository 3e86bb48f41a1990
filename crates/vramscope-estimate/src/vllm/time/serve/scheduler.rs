//! The scheduler, step by step.

use std::collections::VecDeque;

use super::load::{Due, ServedLoad};
use crate::EstimateError;
use crate::vllm::budget::Budget;
use crate::vllm::time::step::{Load, Sequence, StepModel};

/// Most steps of one simulation: seconds of computing, some twenty where each has a thousand requests.
const MOST_STEPS: u64 = 2_000_000;

/// A request that has its last token. Unit of times: seconds from the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// Its place among all that were sent.
    pub(super) index: usize,
    pub(super) sent: f64,
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) output: u64,
}

/// What came of all requests.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) ended: Vec<Ended>,
    pub(super) output_tokens: u64,
    pub(super) steps: u64,
    pub(super) most_together: u64,
    pub(super) preemptions: u64,
}

/// A request in the server. Unit of lengths: tokens.
#[derive(Debug, Clone, Copy)]
struct Request {
    input: u64,
    output: u64,
    sent: f64,
    first: Option<f64>,
    /// Tokens whose cache is there, or will be after the steps that were started.
    computed: u64,
    /// Tokens that were drawn, or will be after the steps that were started.
    drawn: u64,
    /// Blocks of the cache that it holds.
    blocks: u64,
}

impl Request {
    /// Its last step was started.
    const fn is_done(&self) -> bool {
        self.drawn == self.output
    }

    const fn length(&self) -> u64 {
        self.input + self.drawn
    }
}

/// A step that was started.
#[derive(Debug)]
struct Flight {
    ends: f64,
    /// Requests of which it draws a token, and whether that is the last.
    drawn: Vec<(usize, bool)>,
}

struct Server<'a> {
    model: &'a StepModel,
    budget: &'a Budget,
    due: &'a [Due],
    /// The next of them that follows another.
    next: usize,
    /// When the client sent the last request.
    last_sent: f64,
    requests: Vec<Request>,
    /// Requests on their way to the engine, and when they are there, in order.
    coming: VecDeque<(f64, usize)>,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    free: u64,
    followed: Followed,
}

/// Follows the requests to the end of the last.
pub(super) fn follow(
    model: &StepModel,
    budget: &Budget,
    load: &ServedLoad,
    due: &[Due],
) -> Result<Followed, EstimateError> {
    // The engine keeps one block to itself.
    let free = budget.num_gpu_blocks.value.saturating_sub(1);
    let longest = load.input.most.saturating_add(load.output.most);
    let holds = budget.plan.blocks_per_request(longest).is_some_and(|blocks| blocks <= free);
    if !holds || longest > budget.engine.max_model_len {
        let expected = "a request that is within --max-model-len and the KV cache";
        return Err(EstimateError::BadArgument {
            name: "input_len + output_len",
            value: longest.to_string(),
            expected,
        });
    }
    let mut server = Server {
        model,
        budget,
        due,
        next: 0,
        last_sent: f64::NEG_INFINITY,
        requests: Vec::with_capacity(due.len()),
        coming: VecDeque::new(),
        waiting: VecDeque::new(),
        running: Vec::new(),
        free,
        followed: Followed::default(),
    };
    while let Some(at) = due.get(server.next).and_then(|own| own.at) {
        server.send(at);
    }
    server.run()?;
    // A cache that holds each request alone brings all to their end.
    if server.followed.ended.len() != due.len() {
        let expected = "a cache in which every request comes to its end";
        let value = budget.num_gpu_blocks.value.to_string();
        return Err(EstimateError::BadArgument { name: "--num-gpu-blocks-override", value, expected });
    }
    Ok(server.followed)
}

impl Server<'_> {
    /// Sends the next request, no sooner than the client can.
    fn send(&mut self, at: f64) {
        let Some(own) = self.due.get(self.next) else { return };
        let [handling, sending] = self.model.of_request();
        let sent = at.max(self.last_sent + sending);
        self.last_sent = sent;
        self.next += 1;
        self.coming.push_back((sent + handling, self.requests.len()));
        let (input, output) = (own.input, own.output);
        self.requests.push(Request { input, output, sent, first: None, computed: 0, drawn: 0, blocks: 0 });
    }

    /// Host and device as two clocks: the host puts a step together and starts it while the device computes the one before,
    /// then waits for that one's tokens.
    fn run(&mut self) -> Result<(), EstimateError> {
        let (mut host, mut device) = (0.0_f64, 0.0_f64);
        let mut flight: Option<Flight> = None;
        loop {
            while let Some(&(_, request)) = self.coming.front().filter(|(at, _)| *at <= host) {
                self.coming.pop_front();
                self.waiting.push_back(request);
            }
            let (load, drawn) = self.schedule();
            let started = load.map(|load| {
                let (on_device, on_host) = self.model.apart(&load);
                let begins = device.max(host);
                host += on_host;
                device = (begins + on_device).max(host);
                Flight { ends: device, drawn }
            });
            let idle = started.is_none();
            match std::mem::replace(&mut flight, started) {
                Some(done) => {
                    host = host.max(done.ends);
                    self.deliver(&done, host);
                }
                None if idle => match self.coming.front() {
                    Some((at, _)) => host = host.max(*at),
                    None => return Ok(()),
                },
                None => {}
            }
            if self.followed.steps > MOST_STEPS {
                let value = format!("{} with so many tokens", self.due.len());
                return Err(EstimateError::BadArgument { name: "requests", value, expected: "at most 2000000 steps" });
            }
        }
    }

    /// Puts the next step together; `None` where there is nothing to compute.
    fn schedule(&mut self) -> (Option<Load>, Vec<(usize, bool)>) {
        let (mut left, most) = self.model.budget;
        let (mut load, mut drawn) = (Load::default(), Vec::new());
        let (mut place, mut preempted, mut together) = (0, false, 0_u64);
        while place < self.running.len() && left > 0 {
            let request = self.running[place];
            place += 1;
            if self.requests[request].is_done() {
                continue;
            }
            let new = left.min(self.requests[request].length() - self.requests[request].computed);
            // Where the cache is full the newest gives its blocks back, at last this one.
            let mut is_there = true;
            while is_there && !self.take_blocks(request, new) {
                preempted = true;
                is_there = self.preempt(place - 1);
            }
            if is_there {
                self.compute(request, new, &mut load, &mut drawn);
                left -= new;
                together += 1;
            }
        }
        while !preempted && left > 0 && (self.running.len() as u64) < most {
            let Some(&request) = self.waiting.front() else { break };
            let own = &self.requests[request];
            let whole = self.budget.plan.blocks_per_request(own.length()).unwrap_or(u64::MAX);
            let new = left.min(own.length() - own.computed);
            if whole > self.free || !self.take_blocks(request, new) {
                break;
            }
            self.waiting.pop_front();
            self.running.push(request);
            self.compute(request, new, &mut load, &mut drawn);
            left -= new;
            together += 1;
        }
        if together == 0 {
            return (None, drawn);
        }
        self.followed.steps += 1;
        self.followed.most_together = self.followed.most_together.max(together);
        (Some(load), drawn)
    }

    /// Takes what blocks a request needs for so many further tokens; false where the cache has no room.
    fn take_blocks(&mut self, request: usize, new: u64) -> bool {
        let own = &mut self.requests[request];
        let needed = self.budget.plan.blocks_per_request(own.computed + new).unwrap_or(u64::MAX);
        let more = needed.saturating_sub(own.blocks);
        if more > self.free {
            return false;
        }
        self.free -= more;
        own.blocks += more;
        true
    }

    /// Takes the newest running request from its place on, but for those whose last step was started; false where nothing
    /// behind `keep` is left and the one there lost its own blocks.
    fn preempt(&mut self, keep: usize) -> bool {
        let newest = (keep..self.running.len()).rev().find(|place| !self.requests[self.running[*place]].is_done());
        let Some(place) = newest else { return false };
        let request = self.running.remove(place);
        let own = &mut self.requests[request];
        self.free += own.blocks;
        (own.blocks, own.computed) = (0, 0);
        self.waiting.push_front(request);
        self.followed.preemptions += 1;
        place != keep
    }

    fn compute(&mut self, request: usize, new: u64, load: &mut Load, drawn: &mut Vec<(usize, bool)>) {
        let own = &mut self.requests[request];
        own.computed += new;
        let draws = own.computed == own.length();
        let sequence = Sequence { new, length: own.computed, draws };
        if draws {
            own.drawn += 1;
            drawn.push((request, own.is_done()));
        }
        self.model.add(load, sequence, 1.0);
    }

    /// Tokens of a step are there.
    fn deliver(&mut self, flight: &Flight, at: f64) {
        let mut ends = false;
        for (request, last) in &flight.drawn {
            let own = &mut self.requests[*request];
            let first = *own.first.get_or_insert(at);
            self.followed.output_tokens += 1;
            if *last {
                self.followed.ended.push(Ended {
                    index: *request,
                    sent: own.sent,
                    first,
                    last: at,
                    output: own.output,
                });
                self.free += own.blocks;
                own.blocks = 0;
                ends = true;
                self.send(at);
            }
        }
        if ends {
            let requests = &self.requests;
            self.running.retain(|request| !(requests[*request].is_done() && requests[*request].blocks == 0));
        }
    }
}
