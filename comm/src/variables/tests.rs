//! The variables that launchers set, as they document or show them.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn read(set: &[(&str, &str)]) -> Result<Option<RankVariables>, Error> {
    RankVariables::read(|name| set.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into()))
}

fn rank(set: &[(&str, &str)]) -> RankVariables {
    read(set).unwrap().expect("a rank")
}

fn message(set: &[(&str, &str)]) -> String {
    read(set).unwrap_err().to_string()
}

#[test]
fn no_variables_are_a_single_process() {
    assert_eq!(read(&[]).unwrap(), None);
    assert_eq!(read(&[("PATH", "/bin"), ("OMPI_UNIVERSE_SIZE", "2")]).unwrap(), None);
}

#[test]
fn plain_variables() {
    let set = [
        ("RANK", "3"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "fd00::2"),
        ("MASTER_PORT", "29500"),
    ];
    let variables = rank(&set);
    assert_eq!(variables.launcher, Launcher::Plain);
    assert_eq!((variables.rank, variables.world_size), (3, 4));
    assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), Some(2)));
    assert_eq!(variables.master.as_deref(), Some("[fd00::2]:29500"));
    assert_eq!(variables.job, None);
    // Without a master the ranks of one launcher share its name.
    let job = rank(&set[..2]).job.unwrap();
    assert!(job.starts_with("launcher-"), "{job}");
    assert_eq!(rank(&[("RANK", "0"), ("WORLD_SIZE", "4")]).job.unwrap(), job);
}

/// What Open MPI sets for rank 1 of 2.
const IN_OPEN_MPI: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_RANK", "1"),
    ("OMPI_COMM_WORLD_SIZE", "2"),
    ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
];

#[test]
fn plain_variables_that_contradict_the_launcher_are_refused() {
    let inside = |launcher: &[(&'static str, &'static str)], plain: &[(&'static str, &'static str)]| {
        read(&[launcher, plain].concat())
    };
    let of_pod = [("RANK", "0"), ("WORLD_SIZE", "1")];
    let refusals: [(&[(&str, &str)], &str); 6] = [
        (&of_pod, "RANK=0 WORLD_SIZE=1"),
        (&[("RANK", "0"), ("WORLD_SIZE", "2")], "RANK=0 WORLD_SIZE=2"),
        (&[("RANK", "0")], "RANK=0 (and no WORLD_SIZE)"),
        (&[("WORLD_SIZE", "2")], "WORLD_SIZE=2 (and no RANK)"),
        (&[("LOCAL_RANK", "1")], "LOCAL_RANK=1 (and no RANK or WORLD_SIZE)"),
        (
            &[("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")],
            "RANK=1 WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1",
        ),
    ];
    for (plain, words) in refusals {
        let names: Vec<&str> = plain.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            inside(&IN_OPEN_MPI, plain).unwrap_err().to_string(),
            format!(
                "contradictory variables: {words}, but Open MPI has set OMPI_COMM_WORLD_RANK=1 \
                 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2: unset {}; or, if they are right, unset \
                 OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK OMPI_COMM_WORLD_LOCAL_SIZE",
                names.join(" ")
            )
        );
    }
    let slurm = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")];
    for launcher in [
        &slurm[..],
        &[("PMI_RANK", "1"), ("PMI_SIZE", "2")],
        &[("PMIX_RANK", "1")],
        &[("MV2_COMM_WORLD_RANK", "1"), ("MV2_COMM_WORLD_SIZE", "2")],
        &[("PALS_RANKID", "1"), ("PALS_SIZE", "2")],
        &[("JSM_NAMESPACE_RANK", "1"), ("JSM_NAMESPACE_SIZE", "2")],
        &[("FLUX_TASK_RANK", "1"), ("FLUX_JOB_SIZE", "2")],
    ] {
        let error = inside(launcher, &of_pod).unwrap_err();
        assert!(matches!(error, Error::Variables(VariablesError::Contradiction { .. })), "{error}");
        let same = inside(launcher, &[("RANK", "1"), ("WORLD_SIZE", "2")]).unwrap().unwrap();
        assert_eq!((same.launcher, same.rank, same.world_size), (Launcher::Plain, 1, 2));
    }
    // The variables of a batch script are no rank's.
    let batch = [("SLURM_STEP_ID", "4294967291"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")];
    assert_eq!(inside(&batch, &of_pod).unwrap().unwrap().world_size, 1);
}

#[test]
fn pmix_alone_does_not_make_every_rank_the_only_one() {
    assert_eq!(
        message(&[("PMIX_RANK", "1"), ("PMIX_NAMESPACE", "prterun-host-1@1")]),
        "PMIX_RANK is set, but the pair of RANK and WORLD_SIZE is not"
    );
    assert_eq!(read(&[("PMIX_RANK", "0"), ("SLURM_STEP_ID", "4294967290")]).unwrap(), None);
}

/// What torchrun documents that it sets, for rank 3 of 4.
fn torchrun(local: &'static [(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let always = [
        ("RANK", "3"),
        ("WORLD_SIZE", "4"),
        ("GROUP_RANK", "0"),
        ("ROLE_RANK", "3"),
        ("ROLE_WORLD_SIZE", "4"),
        ("MASTER_ADDR", "node1"),
        ("MASTER_PORT", "29500"),
        ("TORCHELASTIC_RESTART_COUNT", "0"),
        ("TORCHELASTIC_MAX_RESTARTS", "0"),
        ("TORCHELASTIC_RUN_ID", "none"),
        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
    ];
    [&always[..], local].concat()
}

#[test]
fn ranks_of_one_torchrun_meet_without_its_port() {
    let set = torchrun(&[("LOCAL_RANK", "3"), ("LOCAL_WORLD_SIZE", "4")]);
    let variables = rank(&set);
    assert_eq!(variables.launcher, Launcher::Torchrun);
    assert_eq!((variables.rank, variables.world_size, variables.local_world_size), (3, 4, Some(4)));
    assert_eq!(variables.master, None);
    let job = variables.job.unwrap();
    assert!(job.starts_with("launcher-") && job.ends_with("-0"), "{job}");
    let mut again = set.clone();
    again.retain(|(name, _)| *name != "TORCHELASTIC_RESTART_COUNT");
    again.push(("TORCHELASTIC_RESTART_COUNT", "1"));
    assert_ne!(rank(&again).job.unwrap(), job);
}

#[test]
fn ranks_of_torchruns_on_several_hosts_meet_at_the_master() {
    let mut set = torchrun(&[("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")]);
    // Slurm has started the torchrun of each host: these are not the ranks' own numbers.
    set.extend([("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")]);
    let variables = rank(&set);
    assert_eq!((variables.launcher, variables.rank), (Launcher::Torchrun, 3));
    assert_eq!((variables.master.as_deref(), variables.job), (Some("node1:29500"), None));
}

#[test]
fn half_a_set_names_the_missing_one() {
    assert_eq!(message(&[("RANK", "0")]), "RANK is set, but WORLD_SIZE is not");
    assert_eq!(message(&[("WORLD_SIZE", "2")]), "WORLD_SIZE is set, but RANK is not");
    assert_eq!(message(&[("LOCAL_RANK", "0")]), "LOCAL_RANK is set, but RANK is not");
    let set = [("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_PORT", "1")];
    assert_eq!(message(&set[..3]), "LOCAL_RANK is set, but LOCAL_WORLD_SIZE is not");
    assert_eq!(message(&set), "MASTER_PORT is set, but MASTER_ADDR is not");
    assert_eq!(message(&[("MASTER_ADDR", "a")]), "MASTER_ADDR is set, but MASTER_PORT is not");
    let master = [("MASTER_ADDR", "a"), ("MASTER_PORT", "1")];
    assert_eq!(message(&master), "MASTER_ADDR is set, but RANK is not");
    let open_mpi = [("OMPI_COMM_WORLD_SIZE", "2")];
    assert_eq!(message(&open_mpi), "OMPI_COMM_WORLD_SIZE is set, but OMPI_COMM_WORLD_RANK is not");
    let slurm = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1")];
    assert_eq!(message(&slurm), "SLURM_PROCID is set, but SLURM_NTASKS is not");
}

#[test]
fn numbers_that_cannot_be() {
    let plain = |rank, world| message(&[("RANK", rank), ("WORLD_SIZE", world)]);
    assert_eq!(plain("4", "4"), "RANK=4: expected a number below WORLD_SIZE=4");
    assert_eq!(plain("-1", "4"), "RANK=-1: expected a number from 0 to 65535");
    assert_eq!(plain("", "4"), "RANK=: expected a number from 0 to 65535");
    assert_eq!(plain("0", "0"), "WORLD_SIZE=0: expected a number from 1 to 65536");
    assert_eq!(plain("0", "65537"), "WORLD_SIZE=65537: expected a number from 1 to 65536");
    let set = [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "65536")];
    assert_eq!(message(&set), "MASTER_PORT=65536: expected a number from 1 to 65535");
}

#[test]
fn open_mpi() {
    let set = [
        ("OMPI_COMM_WORLD_RANK", "1"),
        ("OMPI_COMM_WORLD_SIZE", "2"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ("PMIX_ID", "732758017.1"),
        ("OMPI_MCA_ess_base_jobid", "732758018"),
        ("PMIX_NAMESPACE", "732758019"),
        // The daemon of a remote host was started by Slurm and is its task.
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "0"),
        ("SLURM_NTASKS", "1"),
    ];
    let variables = rank(&set);
    assert_eq!(variables.launcher, Launcher::OpenMpi);
    assert_eq!((variables.rank, variables.world_size), (1, 2));
    assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), Some(2)));
    assert_eq!(variables.job.as_deref(), Some("openmpi-732758019"));
    assert_eq!(rank(&set[..6]).job.as_deref(), Some("openmpi-732758018"));
    assert_eq!(rank(&set[..5]).job.as_deref(), Some("openmpi-732758017"));
}

#[test]
fn hydra() {
    // What MPICH's mpirun sets: no name of the job among it.
    let set = [
        ("PMI_RANK", "1"),
        ("PMI_SIZE", "2"),
        ("MPI_LOCALRANKID", "1"),
        ("MPI_LOCALNRANKS", "2"),
        ("PMI_FD", "8"),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "0"),
        ("SLURM_NTASKS", "1"),
    ];
    let variables = rank(&set);
    assert_eq!(variables.launcher, Launcher::Pmi);
    assert_eq!((variables.rank, variables.world_size), (1, 2));
    assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), Some(2)));
    assert!(variables.job.unwrap().starts_with("launcher-"));
    // Without the local ones it is another PMI.
    let variables = rank(&[set[0], set[1], ("PMI_JOBID", "77")]);
    assert_eq!((variables.local_rank, variables.job.as_deref()), (None, Some("pmi-77")));
}

#[test]
fn slurm() {
    let set = [
        ("SLURM_JOB_ID", "812"),
        ("SLURM_NTASKS", "8"),
        ("SLURM_LAUNCH_NODE_IPADDR", "10.1.0.3"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_PROCID", "5"),
        ("SLURM_STEP_ID", "2"),
        // srun --mpi=pmi2 sets these beside its own.
        ("PMI_RANK", "5"),
        ("PMI_SIZE", "8"),
    ];
    let variables = rank(&set);
    assert_eq!(variables.launcher, Launcher::Slurm);
    assert_eq!((variables.rank, variables.world_size), (5, 8));
    assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), None));
    assert_eq!(variables.job.as_deref(), Some("slurm-812.2"));
    assert_eq!(variables.launch_host.as_deref(), Some("10.1.0.3"));
    // A batch script, old and new, and an interactive shell are no ranks.
    assert_eq!(read(&set[..5]).unwrap(), None);
    for step in ["4294967291", "4294967290"] {
        let mut shell = set[..5].to_vec();
        shell.push(("SLURM_STEP_ID", step));
        assert_eq!(read(&shell).unwrap(), None);
    }
}

#[test]
fn flux() {
    let set = [
        ("FLUX_JOB_ID", "ƒ2WkCsFz"),
        ("FLUX_JOB_SIZE", "8"),
        ("FLUX_JOB_NNODES", "2"),
        ("FLUX_TASK_LOCAL_ID", "1"),
        ("FLUX_TASK_RANK", "5"),
        // Flux speaks PMI, and its broker was a task of Slurm.
        ("PMI_RANK", "5"),
        ("PMI_SIZE", "8"),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "1"),
        ("SLURM_NTASKS", "2"),
    ];
    let variables = rank(&set);
    assert_eq!(variables.launcher, Launcher::Flux);
    assert_eq!((variables.rank, variables.world_size), (5, 8));
    assert_eq!((variables.local_rank, variables.local_world_size), (Some(1), None));
    assert_eq!(variables.job.as_deref(), Some("flux-ƒ2WkCsFz"));
    // What sees the job, but is no task of it.
    assert_eq!(read(&set[..3]).unwrap(), None);
    assert_eq!(message(&set[4..5]), "FLUX_TASK_RANK is set, but FLUX_JOB_SIZE is not");
}

#[cfg(target_os = "linux")]
#[test]
fn the_launcher_is_the_nearest_ancestor_that_is_no_rank() {
    // This test starts a shell that is a rank by its environment, and that starts another one.
    let mut shell = Command::new("sh")
        .args(["-c", "sh -c 'echo $PPID; read line'; true"])
        .env("ISOGRAD_TEST_RANK", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let inner_parent = line.trim().parse().unwrap();
    let name = starter_above(inner_parent, "ISOGRAD_TEST_RANK");
    let own = starter_above(std::process::id() as i32, "ISOGRAD_TEST_RANK");
    let of_shell = starter_above(inner_parent, "ISOGRAD_OTHER");
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert_eq!(name, own);
    assert!(own.starts_with(&format!("launcher-{}-", std::process::id())), "{own}");
    assert!(of_shell.starts_with(&format!("launcher-{inner_parent}-")), "{of_shell}");
}
