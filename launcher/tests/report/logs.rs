//! Logs of runs, written as `train` writes them.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A run in a log.
pub(crate) struct Log {
    pub(crate) epochs: u64,
    pub(crate) steps_per_epoch: u64,
    /// Steps from one entry to the next.
    pub(crate) every: u64,
    pub(crate) learning_rate: f64,
    pub(crate) cpu: String,
}

impl Default for Log {
    fn default() -> Self {
        let cpu = "AMD EPYC 9555".to_string();
        Self { epochs: 5, steps_per_epoch: 40, every: 4, learning_rate: 0.1, cpu }
    }
}

impl Log {
    /// All lines, from the start to the end.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let Self { epochs, steps_per_epoch, every, learning_rate, cpu } = self;
        let mut lines = vec![json!({
            "event": "start", "time": 1_790_000_000.0, "run": "a", "version": "0.1.0", "isa": "avx512", "cpu": cpu,
            "cores": 2, "threads": 2, "ranks": 2, "hosts": ["node1", "node2"], "model": "resnet20_cifar10",
            "parameters": 272_474, "dataset": "cifar10", "shape": [3, 32, 32], "classes": 10, "class_names": null,
            "train_samples": 50_000, "validation_samples": 5_000, "test_samples": 10_000, "epochs": epochs,
            "steps_per_epoch": steps_per_epoch, "batch": 64, "step": 0,
            "settings": { "optimizer": "sgd", "learning-rate": learning_rate.to_string(), "seed": "0" },
        })];
        let all = (epochs * steps_per_epoch) as f64;
        for epoch in 1..=*epochs {
            for step in (epoch - 1) * steps_per_epoch + 1..=epoch * steps_per_epoch {
                let left = 1.0 - step as f64 / all;
                let wobble = 1.0 + 0.2 * ((step * 7919 % 101) as f64 / 101.0 - 0.5);
                let loss = (0.02 + 2.3 * left * left) * wobble;
                if step % every == 0 {
                    lines.push(json!({
                        "event": "step", "time": 1_790_000_000.0 + step as f64, "epoch": epoch, "step": step,
                        "loss": loss, "learning_rate": learning_rate * left, "samples_per_s": 1800.0 * wobble,
                    }));
                }
            }
            let done = epoch as f64 / *epochs as f64;
            lines.push(json!({
                "event": "epoch", "time": 1_790_000_000.0 + (epoch * steps_per_epoch) as f64, "epoch": epoch,
                "step": epoch * steps_per_epoch, "loss": 2.3 - 2.2 * done, "metrics": { "acc": 10.0 + 85.0 * done },
                "val_loss": 2.3 - 2.0 * done * (1.5 - 0.5 * done), "val_metrics": { "acc": 10.0 + 80.0 * done },
                "learning_rate": learning_rate * (1.0 - done), "samples_per_s": 1800.0, "seconds": 27.7,
            }));
        }
        let step = epochs * steps_per_epoch;
        lines.push(json!({
            "event": "test", "time": 1_790_100_000.0, "epoch": epochs, "step": step, "loss": 0.31,
            "metrics": { "acc": 91.25 },
        }));
        lines.push(json!({
            "event": "end", "time": 1_790_100_001.0, "reason": "finished", "step": step, "seconds": 138.5,
            "samples_per_s": 1805.4, "peak_memory_bytes": 523_000_000, "hash": "0123456789abcdef",
        }));
        lines
    }

    /// Makes the folder of a run with this log.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        write(folder, &self.lines())
    }
}

/// Makes the folder of a run with these lines in its log.
pub(crate) fn write(folder: &Path, lines: &[Value]) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.join("log.jsonl"), text).expect("a log");
    folder.to_path_buf()
}
