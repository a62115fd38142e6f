//! Writes good inputs for each target below the named folder, for a fuzzer to begin with: `seeds FOLDER`.

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "only the good inputs are used here")]
mod bodies;

fn main() -> std::io::Result<()> {
    let root = std::path::PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()));
    for target in bodies::TARGETS {
        let folder = root.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (input, number) in (target.good)().into_iter().zip(0..) {
            std::fs::write(folder.join(format!("good-{number}")), input)?;
        }
    }
    Ok(())
}
