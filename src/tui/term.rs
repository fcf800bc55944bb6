//! The terminal: taken, given back whatever happens, drawn on.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

use super::state::State;
use super::view;

/// A frame is written with one system call.
const FRAME: usize = 256 << 10;

/// The terminal is ours: written by who takes and who gives back, among them a thread that panics.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What is drawn on.
pub trait Surface {
    /// Draws the state; only what differs from the last time is written.
    ///
    /// # Errors
    /// The terminal's.
    fn draw(&mut self, state: &State) -> io::Result<()>;
    /// Forgets what is on the screen, and takes the terminal again where it was given back.
    ///
    /// # Errors
    /// The terminal's.
    fn renew(&mut self) -> io::Result<()>;
    /// Gives the terminal back and stops this program until it is continued.
    ///
    /// # Errors
    /// The terminal's.
    fn suspend(&mut self) -> io::Result<()>;
}

/// The terminal on standard output. It is given back when this is dropped, and before a panic is told.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// There is none.
    pub fn take() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "standard output is no terminal"));
        }
        give_back_on_panic();
        take()?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(FRAME, io::stdout()));
        let terminal = Terminal::new(backend).inspect_err(|_| give_back())?;
        let mut screen = Self { terminal };
        screen.clear()?;
        Ok(screen)
    }

    /// Empties the screen. Not by the library's `clear`: that asks the terminal for the cursor's place, and the answer
    /// would go to the thread that reads keys.
    fn clear(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))
    }
}

impl Surface for Screen {
    fn draw(&mut self, state: &State) -> io::Result<()> {
        // Given back by a panic elsewhere: what it says must stay readable.
        if !TAKEN.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Terminals that know it show the frame at once; others ignore it.
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| view::draw(state, frame.buffer_mut()))?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    fn renew(&mut self) -> io::Result<()> {
        take()?;
        self.clear()
    }

    fn suspend(&mut self) -> io::Result<()> {
        give_back();
        // SAFETY: raise takes a number; SIGTSTP stops the whole process until SIGCONT.
        unsafe { libc::raise(libc::SIGTSTP) };
        self.renew()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Relaxed);
    execute!(io::stdout(), EnterAlternateScreen, Hide, EnableMouseCapture, EnableBracketedPaste)
        .inspect_err(|_| give_back())
}

/// Gives the terminal back where it is ours: its screen, cursor, keys and mouse are as they were.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    // A terminal that is gone needs nothing.
    let mut out = io::stdout();
    let _ = queue!(
        out,
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        DisableMouseCapture,
        Show,
        LeaveAlternateScreen
    );
    let _ = out.flush();
    let _ = disable_raw_mode();
}

/// Before a panic of any thread is told, the terminal is given back.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
}
