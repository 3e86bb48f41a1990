//! The settings of llama.cpp's server that are said to fit, against runs on an H200 and against trying all of them.

use vramscope_core::{Bytes, PackedModel};
use vramscope_estimate::{
    GpuModel, LlamaCppAnswer, LlamaCppAnswers, LlamaCppArgs, LlamaCppBackend, LlamaCppError, LlamaCppLine,
    LlamaCppQuestion, LlamaCppSetting, LlamaCppWay, Wish, device_named, llama_cpp_answers, llama_cpp_budget,
    llama_cpp_command,
};

use crate::llama_cpp_h200::{models, runs};

const NO_WISH: Wish = Wish { request_tokens: None, requests: None };

/// An H200 of which so much is left.
fn h200(free: u64) -> LlamaCppSetting<'static> {
    let device: &'static GpuModel = device_named("h200").unwrap();
    let others = Bytes::new(device.total.get() - free);
    LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others }
}

fn line(words: &[&str]) -> LlamaCppLine {
    LlamaCppLine::read(words).unwrap()
}

fn answers(model: &PackedModel, words: &[&str], setting: LlamaCppSetting<'_>) -> LlamaCppAnswers {
    llama_cpp_answers(model, &line(words), setting, NO_WISH).unwrap()
}

fn to<'a>(answers: &'a LlamaCppAnswers, question: LlamaCppQuestion, cache: &str) -> &'a LlamaCppAnswer {
    let found = answers.answers.iter().find(|answer| answer.question == question && answer.cache_k == cache);
    found.unwrap_or_else(|| panic!("{question:?} with {cache}"))
}

fn way(answer: &LlamaCppAnswer) -> &LlamaCppWay {
    answer.way.as_ref().unwrap_or_else(|| panic!("{:?} with {}: nothing fits", answer.question, answer.cache_k))
}

/// `-ngl N -fit off` of a run, left out, is what is asked for.
fn without_layers<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if matches!(*word, "-ngl" | "-fit") {
            words.next();
        } else {
            kept.push(*word);
        }
    }
    kept
}

#[test]
fn the_most_layers_that_fit_are_those_that_ran_on_an_h200() {
    let models = models();
    let mut compared = 0;
    for run in runs().into_iter().filter(|run| run.name.contains("-ngl") && run.name.contains("-of-")) {
        let free = run.free().unwrap() << 20;
        let found = answers(&models[run.fields["model"]], &without_layers(&run.words()), h200(free));
        let most = way(to(&found, LlamaCppQuestion::MostLayers, "f16")).budget.layers_on_device;
        let ran: u64 = run.fields["layers"].parse().unwrap();
        eprintln!("{}: {most} are said to fit, {ran} {}", run.name, if run.served() { "ran" } else { "did not" });
        assert_eq!(most, if run.served() { ran } else { ran - 1 }, "{}", run.name);
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[test]
fn no_other_number_of_layers_experts_or_tokens_is_better() {
    for (name, model) in models() {
        for free in [1 << 30, 3 << 30, 6 << 30, 40 << 30] {
            let setting = h200(free);
            let words = ["-c", "4096", "-np", "1"];
            let found = answers(&model, &words, setting);
            let args = LlamaCppArgs { fit: false, ..line(&words).args };
            let total = |args: &LlamaCppArgs| llama_cpp_budget(&model, args, setting).unwrap().device_total;
            let all = llama_cpp_budget(&model, &args, setting).unwrap().layers;
            let layers = |surely: bool| {
                (0..=all).rev().find(|layers| {
                    let total = total(&LlamaCppArgs { gpu_layers: Some(*layers), ..args.clone() });
                    (if surely { total.high } else { total.value }) <= free
                })
            };
            let most = to(&found, LlamaCppQuestion::MostLayers, "f16");
            assert_eq!(most.way.as_ref().map(|way| way.budget.layers_on_device), layers(false), "{name} {free}");
            assert_eq!(most.for_certain, most.way.as_ref().and(layers(true)), "{name} {free}");
            if let Some(experts) =
                found.answers.iter().find(|answer| answer.question == LlamaCppQuestion::FewestExpertLayersOnHost)
            {
                let fewest = (0..all)
                    .find(|layers| total(&LlamaCppArgs { cpu_moe_layers: *layers, ..args.clone() }).value <= free);
                assert_eq!(experts.way.as_ref().map(|way| way.args.cpu_moe_layers), fewest, "{name} {free}");
            }
            let longest = to(&found, LlamaCppQuestion::LongestContext, "f16");
            let Some(longest) = longest.way.as_ref().map(|way| way.budget.context) else {
                assert!(total(&LlamaCppArgs { context: Some(256), ..args.clone() }).value > free, "{name} {free}");
                continue;
            };
            let with = |context: u64| total(&LlamaCppArgs { context: Some(context), ..args.clone() }).value;
            assert!(with(longest) <= free, "{name} {free}: {longest}");
            assert!(longest == found.trained_context || with(longest + 256) > free, "{name} {free}: {longest}");
        }
    }
}

#[test]
fn every_command_line_says_what_it_was_computed_with() {
    for (name, model) in models() {
        for words in [
            &["-m", "a b.gguf", "-c", "8192", "-np", "2", "--port", "80"][..],
            &["env", "A=1", "llama-server", "-m", "x.gguf", "-fa", "on", "--api-key=abcdefgh", "-ctk", "q8_0"],
            &["-ngl=7", "--kv-unified", "--parallel", "3", "--threads", "4"],
        ] {
            let setting = h200(5 << 30);
            let told: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            // Keys and values of compressed attention are of one type.
            let Ok(found) = llama_cpp_answers(&model, &line(words), setting, NO_WISH) else { continue };
            for answer in &found.answers {
                let Some(way) = &answer.way else { continue };
                let command = llama_cpp_command(&told, "m.gguf", way);
                let plain: Vec<String> = command.iter().map(|word| word.trim_matches('\'').to_owned()).collect();
                let read = LlamaCppLine::read(&plain).unwrap();
                assert!(read.model.is_some() && !read.args.fit, "{name}: {command:?}");
                let again = llama_cpp_budget(&model, &read.args, setting).unwrap();
                assert_eq!(again.device_total.value, way.budget.device_total.value, "{name}: {command:?}");
                let text = command.join(" ");
                assert!(!text.contains("abcdefgh"), "{text}");
                // `estimate` does not know several devices, and says so by wide intervals.
                let several = way.shares.len() > 1;
                assert!(several || again.parts == way.budget.parts, "{name}: {command:?}");
                assert_eq!(text.contains("-sm layer -ts 1,1"), several, "{text}");
            }
        }
    }
}

#[test]
fn devices_share_all_of_it_and_one_fewer_does_not_hold_it() {
    let models = models();
    let mut several = 0;
    for (name, model) in &models {
        for free in [1 << 30, 2 << 30, 3 << 30] {
            let found = answers(model, &["-c", "8192", "-np", "1"], h200(free));
            let answer = to(&found, LlamaCppQuestion::FewestDevices, "f16");
            let Some(way) = &answer.way else { continue };
            let sum = |of: fn(&vramscope_estimate::LlamaCppShare) -> u64| way.shares.iter().map(of).sum::<u64>();
            let part = |part: &str| way.budget.part(part).map_or(0, |part| part.device.value);
            assert_eq!(sum(|share| share.weights), part("weights"), "{name}");
            let cache = part("kv_cache") + part("window_kv_cache") + part("recurrent_state");
            assert_eq!(sum(|share| share.cache), cache, "{name}");
            assert_eq!(sum(|share| share.layers), way.budget.layers, "{name}");
            let fullest = way.fullest();
            assert!(fullest.value <= free, "{name}");
            let alone = way.budget.device_total.value <= free;
            assert_eq!(way.shares.len() == 1, alone, "{name}");
            if way.shares.len() > 1 {
                several += 1;
                assert!(fullest.confidence == vramscope_core::Confidence::Assumed && fullest.high > fullest.value);
                let counts: Vec<u64> = way.shares.iter().map(|share| share.layers).collect();
                assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
            }
        }
    }
    assert!(several > 5, "{several}");
}

#[test]
fn what_a_line_states_stays_and_a_wish_that_contradicts_it_is_refused() {
    let models = models();
    let model = &models["qwen3-4b-q4km"];
    let wish = |tokens, requests| Wish { request_tokens: tokens, requests };
    let ask = |words: &[&str], wish| llama_cpp_answers(model, &line(words), h200(8 << 30), wish);
    let found = ask(&["-ctk", "q8_0", "-ctv", "q8_0", "-ngl", "20"], wish(Some(4096), Some(3))).unwrap();
    assert_eq!((found.context, found.context_of_slot, found.slots), (12288, 4096, 3));
    assert!(found.answers.iter().all(|answer| answer.cache_k == "q8_0" && answer.cache_v == "q8_0"));
    let longest = way(to(&found, LlamaCppQuestion::LongestContext, "q8_0"));
    assert_eq!((longest.budget.layers_on_device, longest.budget.slots), (20, 3));
    assert_eq!(way(to(&found, LlamaCppQuestion::MostLayers, "q8_0")).budget.layers_on_device, 37);
    for (words, wish) in
        [(&["-np", "2"][..], wish(Some(4096), Some(3))), (&["-c", "8192", "-np", "1"], wish(Some(4096), None))]
    {
        assert!(matches!(ask(words, wish), Err(LlamaCppError::BadArgument { .. })), "{words:?}");
    }
    // One request of a length, the longest requests, and the server's own choice.
    assert_eq!(ask(&[], wish(Some(4096), None)).unwrap().slots, 1);
    let longest = ask(&[], wish(None, Some(2))).unwrap();
    assert_eq!((longest.context_of_slot, longest.slots, longest.unified), (40960, 2, false));
    let own = ask(&[], NO_WISH).unwrap();
    assert_eq!((own.context, own.slots, own.unified), (40960, 4, true));
    let nowhere = LlamaCppSetting { backend: LlamaCppBackend::Host, device: None, others: Bytes::ZERO };
    assert!(llama_cpp_answers(model, &line(&[]), nowhere, NO_WISH).is_err());
}

#[test]
fn a_cache_that_the_server_refuses_is_no_answer_and_is_named() {
    let mut models = models();
    let model = models.get_mut("qwen3-4b-q4km").unwrap();
    for side in ["key", "value"] {
        let key = format!("qwen3.attention.{side}_length");
        model.metadata.insert(key, vramscope_core::PackedValue::Number(80));
    }
    let kv_heads = model.own("attention.head_count_kv").unwrap();
    for tensor in &mut model.tensors {
        if tensor.name.ends_with("attn_k.weight") || tensor.name.ends_with("attn_v.weight") {
            tensor.sides[1] = kv_heads * 80;
        }
    }
    let found = answers(model, &[], h200(8 << 30));
    assert!(found.answers.iter().all(|answer| answer.cache_k == "f16"));
    assert!(found.notes.iter().any(|note| note.contains("no cache of q8_0")), "{:?}", found.notes);
    let stated = llama_cpp_answers(model, &line(&["-ctk", "q8_0"]), h200(8 << 30), NO_WISH);
    assert!(matches!(stated, Err(LlamaCppError::Refused { .. })), "{stated:?}");
}
