# Perl: hashes, regular expressions, sort, fork with a pipe, sprintf, a file written and read again.
use strict;
use warnings;
my (%count, @words);
for my $file (sort glob("$ARGV[0]/*")) {
    open my $in, '<', $file or next;
    while (<$in>) { $count{lc $1}++ while /(\w+)/g }
    close $in;
}
@words = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
printf "%-12s %d\n", $_, $count{$_} for @words[0 .. 9];
my @pids;
for my $child (1 .. 3) {
    pipe my $reader, my $writer or die;
    my $pid = fork // die;
    if (!$pid) { close $reader; print $writer "child $child: ", scalar(@words) * $child, "\n"; exit $child }
    close $writer;
    print <$reader>;
    waitpid $pid, 0;
    print "status ", $? >> 8, "\n";
}
open my $out, '>', 'words.txt' or die;
print $out "$_\n" for @words;
close $out;
print -s 'words.txt', "\n";
