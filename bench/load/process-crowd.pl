# So many processes, each a client of a UNIX socket: SOCKET CLIENTS SECONDS OPEN CALL. OPEN and CALL are frames in hexadecimal.
# Each opens and then calls every so many seconds, or never (0). What comes of it goes to stdout, eight bytes at a time: 0 opened,
# 1 answered, 2 failed; and the microseconds that it took. They end when stdin does. A fork of perl needs a tenth of the memory
# of a process of its own.
use strict;
use warnings;
use Socket;
use Time::HiRes qw(time sleep);

my ($path, $clients, $seconds, @frames) = @ARGV;
my ($open, $call) = map { pack 'H*', $_ } @frames;
my ($OPENED, $ANSWERED, $FAILED) = (0, 1, 2);

setpgrp;
for my $place (0 .. $clients - 1) {
  my $pid = fork;
  die "fork: $!" unless defined $pid;
  client($place) unless $pid;
}
sysread STDIN, my $nothing, 1;
$SIG{TERM} = 'IGNORE';
kill 'TERM', -getpgrp;
1 while wait > 0;

sub client {
  my ($place) = @_;
  close STDIN;
  my $began = time;
  socket my $server, PF_UNIX, SOCK_STREAM, 0 or fail();
  connect $server, pack_sockaddr_un($path) or fail();
  ask($server, $open);
  report($OPENED, $began);
  if ($seconds == 0) { sysread $server, my $byte, 1; fail() }
  my $due = time + $seconds * ($place + 1) / $clients;
  for (;; $due += $seconds) {
    sleep $due - time if $due > time;
    ask($server, $call);
    report($ANSWERED, $due);
  }
}

# Ends where the answer is an error, or none comes.
sub ask {
  my ($server, $frame) = @_;
  syswrite $server, $frame;
  my $answer = '';
  my $length = 4;
  while (length $answer < $length) {
    sysread $server, $answer, $length - length $answer, length $answer or fail();
    $length = unpack 'N', $answer if length $answer == 4;
  }
  fail() if unpack 'x24 N', $answer;
}

sub report {
  my ($what, $since) = @_;
  syswrite STDOUT, pack 'NN', $what, 1e6 * (time - $since);
}

sub fail {
  report($FAILED, time);
  exit 1;
}
