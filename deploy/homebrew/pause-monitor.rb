# The release workflow puts address, version and checksums in, and attaches it to the release.
#
# No service block: `pause-monitor install` writes the LaunchAgent, together with the permission that it needs.
class PauseMonitor < Formula
  desc "Records every pause of a Mac, says whose fault it was, and keeps the evidence"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    url "@HOMEPAGE@/releases/download/v@VERSION@/pause-monitor-@VERSION@-macos-universal.tar.gz"
    sha256 "@SHA256_MACOS@"
  end

  on_linux do
    on_intel do
      url "@HOMEPAGE@/releases/download/v@VERSION@/pause-monitor-@VERSION@-linux-x86_64.tar.gz"
      sha256 "@SHA256_LINUX_X86_64@"
    end
    on_arm do
      url "@HOMEPAGE@/releases/download/v@VERSION@/pause-monitor-@VERSION@-linux-aarch64.tar.gz"
      sha256 "@SHA256_LINUX_AARCH64@"
    end
  end

  def install
    bin.install "pause-monitor"
    man1.install Dir["man/man1/*.1"]
    bash_completion.install "completions/pause-monitor.bash" => "pause-monitor"
    fish_completion.install "completions/pause-monitor.fish"
    zsh_completion.install "completions/_pause-monitor"
    pkgshare.install "dashboards", "prometheus"
  end

  def caveats
    <<~EOS
      To have this machine watched from now on:
        pause-monitor install
      Before `brew uninstall`, take the service and its permission away again:
        pause-monitor uninstall
      Dashboards and alerting rules are in #{opt_pkgshare}.
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/pause-monitor --version")
    system "#{bin}/pause-monitor simulate --scenario freeze --no-wait --count 50 > #{testpath}/recording"
    assert_match "50 samples", shell_output("#{bin}/pause-monitor analyze #{testpath}/recording")
  end
end
