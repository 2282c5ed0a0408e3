# What was wrong, and what makes it right:  sed -i.before -f solution.sed topology.yaml

# mtu: r1 and web disagree about their wire.  r1 sends packets of up to 1500 bytes, and web takes no more than 1400.
s/, mtu: 1400//

# spoofed-arp: h2 was given another address by hand, and its port has a guard, which knows only that of the topology.
/h2, lan/s/10\.0\.0\.2/10.0.0.22/
/^  h2: {startup/s/:.*/:/

# vlan: h3 sends frames with the tag of VLAN 10, and its port is an access port, of another VLAN at that.  What h3 sends
# without a tag is in VLAN 20, where nobody else is: no-destination.
/h3, lan/s/vlan: 20/trunk: [10]/

# isolated: both ports are.  One of them is enough to keep such ports from each other, as long as the server's is not.
/h5, lan/s/, isolate: on//

# storm: h6 may flood two frames a second, and has more to say.
s/2pps/100pps/

# None: nobody has the address of the gateway, so h1 asks for it and is not answered.  All that was sent arrived.
s/via 10\.0\.0\.9/via 10.0.0.254/
