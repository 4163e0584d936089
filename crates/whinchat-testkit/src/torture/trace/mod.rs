//! The system calls of a broker under load: each answer leaves after the sync that covers its record.

mod call;
mod crowd;
mod judge;
mod mark;

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use self::{call::Lines, crowd::Crowd, judge::Judge};
use super::{finding::Kind, process::Recipe, report::Row};

/// A line in hexadecimal for all that moves bytes or makes them safe. Nothing is shortened.
const OPTIONS: &str = "--seccomp-bpf -y -xx -a 1 -v -s 100000000 -o /dev/stdout -e signal=none -e trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fsync,fdatasync";

/// Traces a broker on `dir` until it has answered so often or oftener.
#[must_use]
pub fn trace(recipe: &Recipe, dir: &Path, answers: u64) -> Row {
    if let Err(error) = Command::new("strace").arg("-V").output() {
        return Row::not_run("trace", format!("strace: {error}"));
    }
    let mut judge = match run(recipe, dir, answers) {
        Ok(judge) => judge,
        Err(error) => return Row::not_run("trace", error),
    };
    let judged = judge.judged();
    if judged < answers {
        let what = format!("{judged} answers are in the trace, {answers} were wanted");
        judge.findings.add(Kind::Unanswered, what);
    }
    let counts: Vec<_> = judge
        .answers
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    Row {
        method: "trace",
        cycles: 1,
        acknowledged: judged,
        note: format!("{}; {} syncs", counts.join(", "), judge.syncs),
        findings: judge.findings,
        not_run: None,
    }
}

fn run(recipe: &Recipe, dir: &Path, answers: u64) -> io::Result<Judge> {
    // What the broker says must not stand in the trace.
    let mut quiet = recipe.clone();
    let shell = ["sh", "-c", r#"exec "$@" >/dev/null"#, "sh"].map(str::to_owned);
    quiet.command.splice(0..0, shell);
    let mut process = quiet.traced(OPTIONS).spawn_with(dir, Stdio::piped())?;
    let stdout = process
        .stdout()
        .ok_or_else(|| io::Error::other("no pipe for the trace"))?;
    let reader = thread::spawn(move || read(stdout));
    // Also if strace may not trace here.
    process.wait_until_ready()?;
    let mut crowd = Crowd::default();
    let went = crowd.run(process.port, answers);
    let ended = process.ended()?;
    let complaints = crowd.complaints;
    // A call that a kill breaks off would not be judged.
    process.end()?;
    // The pipe ends with strace, when it has written all.
    let mut judge = reader
        .join()
        .map_err(|_| io::Error::other("the reader of the trace has panicked"))??;
    if let Err(error) = went {
        judge.findings.add(Kind::Unanswered, error);
    }
    for what in complaints {
        judge.findings.add(Kind::Nonsense, what);
    }
    if let Some(status) = ended {
        let said = process.last_words();
        judge
            .findings
            .add(Kind::Ended, format!("by itself with {status}: {said}"));
    }
    Ok(judge)
}

/// Judges a trace, line by line.
fn read(trace: impl Read) -> io::Result<Judge> {
    let mut trace = BufReader::with_capacity(1 << 20, trace);
    let mut lines = Lines::default();
    let mut judge = Judge::default();
    let mut line = Vec::new();
    let mut wrong = None;
    // Also behind a line that is wrong: strace must not wait for room in the pipe.
    while trace.read_until(b'\n', &mut line)? > 0 {
        match lines.take(line.trim_ascii_end()) {
            Ok(Some(call)) => judge.take(&call),
            Ok(None) => {}
            Err(error) => wrong = wrong.or(Some(error)),
        }
        line.clear();
    }
    wrong.map_or(Ok(judge), |error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use whinchat_codec::{
        Connect, Guarantee, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRel, Publish,
        QoS,
    };

    use super::{mark::mark, read};
    use crate::torture::packets::text;

    const VERSION: ProtocolVersion = ProtocolVersion::V5;

    fn shown(packet: &Packet) -> (String, usize) {
        let mut bytes = bytes::BytesMut::new();
        packet.encode(VERSION, &mut bytes).unwrap();
        let hex = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
        (hex.collect(), bytes.len())
    }

    fn from_client(packet: &Packet) -> String {
        let (text, len) = shown(packet);
        format!("1 recvfrom(9<socket:[5]>, \"{text}\", 65536, 0, NULL, NULL) = {len}\n")
    }

    fn to_client(packet: &Packet) -> String {
        let (text, len) = shown(packet);
        format!("1 sendto(9<socket:[5]>, \"{text}\", {len}, MSG_NOSIGNAL, NULL, 0) = {len}\n")
    }

    fn log(bytes: &str) -> String {
        let len = bytes.len();
        format!("2 pwrite64(3</d/log>, \"{bytes}\", {len}, 4096) = {len}\n")
    }

    const SYNC: &str = "2 fdatasync(3</d/log>) = 0\n";
    const SYNC_BEGINS: &str = "2 fdatasync(3</d/log> <unfinished ...>\n";
    const SYNC_ENDS: &str = "2 <... fdatasync resumed>) = 0\n";

    fn id() -> PacketId {
        PacketId::new(7).unwrap()
    }

    fn connect() -> String {
        from_client(&Packet::Connect(Connect::new(VERSION, text("p1")).into()))
    }

    fn publish() -> String {
        from_client(&Packet::Publish(Publish {
            guarantee: Guarantee::new(QoS::AtLeastOnce, id(), false),
            retain: false,
            topic: text("t"),
            properties: Default::default(),
            payload: mark(3).into(),
        }))
    }

    fn puback() -> String {
        to_client(&Packet::PubAck(PubAck::success(id())))
    }

    /// How many answers, and what is found.
    fn judged(trace: &[String]) -> (u64, String) {
        let judge = read(trace.concat().as_bytes()).unwrap();
        (judge.judged(), judge.findings.to_string())
    }

    #[test]
    fn an_answer_after_its_sync_is_in_order() {
        let record = log(&format!("..{}..", mark(3)));
        let trace = [connect(), publish(), record, SYNC.into(), puback()];
        assert_eq!(judged(&trace), (1, String::new()));
    }

    #[test]
    fn an_answer_before_its_sync_is_found_and_named() {
        let record = || log(&format!("..{}..", mark(3)));
        let failed = "2 fdatasync(3</d/log>) = -1 EIO (Input/output error)\n";
        let other = "2 fdatasync(4</d/other>) = 0\n";
        let ways: [&[String]; 6] = [
            &[record()],
            &[SYNC.into(), record()],
            &[record(), SYNC_BEGINS.into()],
            &[SYNC_BEGINS.into(), record(), SYNC_ENDS.into()],
            &[record(), failed.into()],
            &[record(), other.into()],
        ];
        for between in ways {
            let mut trace = vec![connect(), publish()];
            trace.extend_from_slice(between);
            trace.push(puback());
            let (answers, found) = judged(&trace);
            assert_eq!(answers, 1);
            assert!(found.contains("early: 1\n  PUBACK 7 to p1: "), "{found}");
        }
    }

    #[test]
    fn a_sync_of_the_record_of_another_message_covers_nothing() {
        let record = log(&mark(4));
        let trace = [connect(), publish(), record, SYNC.into(), puback()];
        assert!(judged(&trace).1.contains(&mark(3)[1..]));
    }

    #[test]
    fn what_has_no_mark_needs_a_write_after_the_request() {
        let pubrel = || from_client(&Packet::PubRel(PubRel::success(id())));
        let pubcomp = || to_client(&Packet::PubComp(PubComp::success(id())));
        let good = [connect(), pubrel(), log("x"), SYNC.into(), pubcomp()];
        assert_eq!(judged(&good), (1, String::new()));
        let bad = [connect(), log("x"), pubrel(), SYNC.into(), pubcomp()];
        assert!(judged(&bad).1.contains("early: 1\n  PUBCOMP 7 to p1"));
    }
}
