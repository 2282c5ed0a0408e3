# results/rtt.dat as a picture; measure calls this, and says when the transfer began.
set terminal svg size 800,480 dynamic background rgb 'white' font 'sans-serif,14'
set output 'results/rtt.svg'
set title "Ping beside a transfer, over an uplink of 256 kbit/s with a queue of 40 frames"
set xlabel "seconds"
set ylabel "round-trip time, ms"
set logscale y
set yrange [10:3000]
set grid
set key left top
set arrow from before, graph 0 to before, graph 1 nohead dashtype 2
set label "iperf3 starts" at before, graph 0.05 offset 1
plot 'results/rtt.dat' index 0 with linespoints pointtype 7 pointsize 0.4 linewidth 2 title "tail drop", \
	'' index 1 with linespoints pointtype 7 pointsize 0.4 linewidth 2 title "CoDel"
