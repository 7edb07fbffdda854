//! A link that can be cut, slowed and stalled: forwards one TCP port to another.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

struct Link {
    open: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
    to: u16,
    /// Bytes a second in each direction; 0 is no limit.
    rate: u32,
    /// Of a hundred pieces, how many are held up as a lost and repeated packet is.
    lost: u32,
}

pub struct Gate {
    pub port: u16,
    link: Arc<Link>,
}

impl Gate {
    /// A closed gate to port `to`.
    pub fn new(to: u16, rate: u32, lost: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let link = Arc::new(Link { open: AtomicBool::new(false), streams: Mutex::default(), to, rate, lost });
        let accepting = Arc::clone(&link);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                accepting.connect(stream);
            }
        });
        Self { port, link }
    }

    pub fn open(&self) {
        self.link.open.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones end at once.
    pub fn close(&self) {
        self.link.open.store(false, Ordering::SeqCst);
        self.cut();
    }

    pub fn cut(&self) {
        for stream in self.link.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Link {
    fn connect(self: &Arc<Self>, near: TcpStream) {
        if !self.open.load(Ordering::SeqCst) {
            return;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.to)) else { return };
        let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        self.streams.lock().expect("no panic").extend([clone(&near), clone(&far)]);
        for (from, to) in [(clone(&near), clone(&far)), (far, near)] {
            let link = Arc::clone(self);
            std::thread::spawn(move || link.forward(from, to));
        }
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; if self.rate > 0 { 1200 } else { 65_536 }];
        let (mut free_at, mut state) = (Instant::now(), 12_345u32);
        while let Ok(read) = from.read(&mut piece) {
            if read == 0 {
                break;
            }
            if self.rate > 0 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // A lost packet comes again after a round trip and costs its bytes twice.
                let lost = (state >> 16) % 100 < self.lost;
                let bytes = u32::try_from(read).expect("a piece") * if lost { 2 } else { 1 };
                free_at = free_at.max(Instant::now())
                    + Duration::from_secs_f64(f64::from(bytes) / f64::from(self.rate));
                let held = if lost { Duration::from_millis(200) } else { Duration::ZERO };
                std::thread::sleep((free_at + held).saturating_duration_since(Instant::now()));
            }
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
