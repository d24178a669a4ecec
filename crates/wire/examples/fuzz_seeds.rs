//! Writes what the fuzz targets begin with into the corpus directory that is named: `fuzz_seeds fuzz/corpus`.

use std::path::Path;
use std::{env, fs, io};

#[path = "../tests/seeds/mod.rs"]
mod seeds;

fn main() -> io::Result<()> {
    let corpus = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: fuzz_seeds <corpus directory>"))?;
    let mut messages = seeds::messages();
    messages.push(seeds::worker_settings());
    let mut frames = seeds::frames();
    frames.push(frames.concat());
    for (target, blocks) in [
        ("request_head", seeds::request_heads()),
        ("response_head", seeds::response_heads()),
        ("question", seeds::questions()),
        ("answer", seeds::answers()),
        ("settings", seeds::settings()),
        ("status_and_headers", seeds::status_and_headers()),
        ("proxy_headers", seeds::proxy_headers()),
        ("seat_end", seeds::seat_ends()),
        ("frames", frames),
        ("control", messages),
    ] {
        let directory = Path::new(&corpus).join(target);
        fs::create_dir_all(&directory)?;
        for (index, block) in blocks.iter().enumerate() {
            fs::write(directory.join(format!("seed-{index}")), block)?;
        }
    }
    Ok(())
}
