# What the machines of every family have in common; each Vagrantfile beside this adds its box.

Vagrant.configure("2") do |config|
  config.vm.hostname = "broker"
  config.vm.network "forwarded_port", guest: 15672, host: 15672, host_ip: "127.0.0.1", auto_correct: true

  # A copy, so that the machine cannot write into the checkout; `vagrant rsync` brings what changed.
  config.vm.synced_folder "../..", "/vagrant", type: "rsync", rsync__exclude: [".git/", ".venv/", ".vagrant/"]

  %w[virtualbox libvirt].each do |name|
    config.vm.provider name do |machine|
      machine.memory = 1024
      machine.cpus = 2
    end
  end

  # A forwarded port comes from outside as the broker sees it, where guest may not log in by itself.
  config.vm.provision "shell", inline: <<~SHELL
    set -eu
    /vagrant/install.sh --yes --recipe dev --set loopback_users=none
    /usr/local/bin/rmqsetup verify
  SHELL
end
