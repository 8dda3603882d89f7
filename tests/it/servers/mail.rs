//! As much of SMTP as takes one mail.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::net::TcpListener;

/// Takes one mail: who is to get it, and its text.
pub(crate) fn mail_sink(listener: &TcpListener) -> (Vec<String>, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut recipients, mut text, mut is_data) = (Vec::new(), String::new(), false);
    stream.write_all(b"220 sink\r\n").unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        let said = line.trim_end().to_owned();
        line.clear();
        let answer: &[u8] = match said.as_str() {
            "." if is_data => {
                is_data = false;
                b"250 taken\r\n"
            }
            said if is_data => {
                text.push_str(said.strip_prefix('.').unwrap_or(said));
                text.push('\n');
                continue;
            }
            "DATA" => {
                is_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            said => {
                recipients.extend(said.starts_with("RCPT").then(|| said.to_owned()));
                b"250 ok\r\n"
            }
        };
        stream.write_all(answer).unwrap();
    }
    (recipients, text)
}
