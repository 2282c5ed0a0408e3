# results/throughput.dat as a picture; measure calls this.
set terminal svg size 800,520 dynamic background rgb 'white' font 'sans-serif,14'
set output 'results/throughput.svg'
set title "TCP over a link of 1 Mbit/s"
set xlabel "loss, percent of all packets"
set ylabel "throughput, Mbit/s"
set logscale xy
set xrange [0.7:12]
set yrange [0.05:2]
set xtics (1, 2, 3, 5, 9)
set ytics (0.05, 0.1, 0.2, 0.5, 1, 2)
set grid
set key left bottom

# Mathis et al., "The macroscopic behavior of the TCP congestion avoidance algorithm", 1997: of a segment of 1448 bytes a
# round trip, sqrt(3/2) / sqrt(loss) are on their way.
mathis(loss, rtt) = 1448 * 8 * sqrt(1.5) / sqrt(loss / 100.0) / (rtt / 1000.0) / 1e6
# Of each frame of 1514 bytes, 1448 are data.
link = 1448 / 1514.0

plot link with lines dashtype 2 linecolor rgb 'black' title "the link, without headers", \
	for [i = 0:1] mathis(x, 200 * 2 ** i) with lines linewidth 2 linecolor i + 1 \
		title sprintf("Mathis, RTT of %d ms", 200 * 2 ** i), \
	for [i = 0:1] 'results/throughput.dat' index i using 2:3 with points pointtype 7 pointsize 1 linecolor i + 1 \
		title sprintf("measured, RTT of %d ms", 200 * 2 ** i)
